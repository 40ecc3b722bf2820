from __future__ import annotations

import os
from threading import Event
from typing import TYPE_CHECKING

import pytest

from fundusd.app import folder_overlaps, settings_file
from fundusd.domain.errors import SettingsError

if TYPE_CHECKING:
    from pathlib import Path

    from fundusd.app.settings import Settings


def settings_of(tmp_path: Path, *inboxes: Path) -> Settings:
    text = ""
    for number, inbox in enumerate(inboxes):
        text += f"[[camera]]\nid = 'room{number}'\ninbox = '{inbox}'\n"
    path = tmp_path / "fundusd.toml"
    path.write_text(text)
    return settings_file.load(path)


def test_a_share_whose_server_is_away_keeps_no_other_camera_waiting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, link, dead = tmp_path / "a", tmp_path / "b", tmp_path / "dead"
    folder.mkdir()
    link.symlink_to(folder)
    answers, real = Event(), os.path.realpath
    waited_out: list[Path] = []

    def hanging(path: Path) -> str:
        if path == dead and not answers.wait(20):
            waited_out.append(path)
        return real(path)

    monkeypatch.setattr(os.path, "realpath", hanging)
    monkeypatch.setattr(folder_overlaps, "_PATIENCE", 0.2)
    try:
        folder_overlaps.require_separate_folders(settings_of(tmp_path, folder, dead))
        with pytest.raises(SettingsError, match="symbolic link"):
            folder_overlaps.require_separate_folders(settings_of(tmp_path, folder, link, dead))
    finally:
        answers.set()
    assert waited_out == []

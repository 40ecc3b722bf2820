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


@pytest.mark.parametrize("name", ["records.db", "link.db"])
def test_the_database_of_a_camera_is_not_that_of_fundusd(tmp_path: Path, name: str) -> None:
    (tmp_path / "records.db").touch()
    (tmp_path / "link.db").symlink_to(tmp_path / "records.db")
    path = tmp_path / "fundusd.toml"
    path.write_text(
        f"[store]\nurl = 'sqlite:///{tmp_path}/{name}'\n"
        f"[[camera]]\nid = 'room1'\ninbox = '{tmp_path}/inbox'\n"
        f"[camera.lookup]\ndatabase = '{tmp_path}/records.db'\n"
        "query = 'SELECT :path'\n"
    )
    with pytest.raises(SettingsError) as refused:
        folder_overlaps.require_separate_folders(settings_file.load(path))
    assert "database in [camera.lookup] of camera room1" in refused.value.message

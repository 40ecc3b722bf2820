"""The hints about files of other users can be typed, and give nothing away that is root's."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from tests.service_user_cases import USER, needs_users

from fundusd.app import site_key
from fundusd.domain.errors import SettingsError
from fundusd.files.owners import way_out
from fundusd.outbox.credentials import read_secret

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = needs_users


def test_the_owner_root_of_a_folder_is_given_no_file(tmp_path: Path) -> None:
    (tmp_path / "site.key").touch()
    os.chown(tmp_path / "site.key", USER, USER)
    assert "--reference" not in way_out(tmp_path / "site.key")


def test_a_file_of_root_in_a_folder_of_root_is_given_to_the_service(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.geteuid", lambda: USER)
    (tmp_path / "site.key").touch()
    assert f"the user that fundusd runs as: chown fundusd: {tmp_path}" in way_out(
        tmp_path / "site.key"
    )


@pytest.mark.parametrize("name", ["prepared", "site.key"])
def test_what_is_closed_to_its_own_user_is_opened(tmp_path: Path, name: str) -> None:
    path = tmp_path / "a b" / name
    path.parent.mkdir()
    if name == "prepared":
        path.mkdir()
    else:
        path.touch()
    path.chmod(0o500)
    assert way_out(path) == f"Give its owner the right back: chmod u+rwX '{path}'"


def test_names_in_hints_are_quoted_for_the_shell(tmp_path: Path) -> None:
    folder, file = tmp_path / "a b", tmp_path / "a b" / "fundusd.db"
    folder.mkdir()
    file.touch()
    os.chown(folder, USER, USER)
    os.chown(file, USER + 1, USER + 1)
    hint = way_out(file)
    assert f"sudo -u '#{USER + 1}' fundusd" in hint
    assert f"sudo chown --reference='{folder}' '{file}'" in hint


def test_the_hint_for_a_file_that_cannot_be_seen_names_no_user(tmp_path: Path) -> None:
    hint = way_out(tmp_path / "closed" / "site.key")
    assert hint == "Run the command as the user that fundusd runs as."


@pytest.mark.parametrize("read", [site_key.read, read_secret])
@pytest.mark.parametrize("is_own", [True, False])
def test_closing_a_secret_to_everybody_leaves_it_open_to_the_service(
    tmp_path: Path, read: Callable[[Path], object], *, is_own: bool
) -> None:
    file = tmp_path / "a b"
    file.write_text("8f2c13" * 11)
    file.chmod(0o644)
    if not is_own:
        os.chown(file, USER, USER)
    with pytest.raises(SettingsError, match="can be read by every user") as caught:
        read(file)
    command = f"chmod 0400 '{file}'"
    if not is_own:
        command = f"sudo chown fundusd: '{file}' && sudo {command}"
    assert caught.value.hint == f"Let only the user that fundusd runs as read it: {command}"

"""A site key that cannot be created names its folder, and never suggests a key elsewhere."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NoReturn

import pytest

from fundusd.app import site_key
from fundusd.domain.errors import SettingsError


def refuse(*_: object) -> NoReturn:
    raise PermissionError(13, "Permission denied")


def test_a_folder_that_is_not_there_has_to_be_mounted(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=f"there is no folder {tmp_path}/state") as caught:
        site_key.read_or_create(tmp_path / "state" / "site.key")
    assert caught.value.hint.startswith("Mount the disk")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give a folder to another user")
def test_a_folder_of_another_user_is_called_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Root may write into every folder, so the test takes the right away."""
    state = tmp_path / "state"
    state.mkdir()
    os.chown(state, 65534, -1)
    with monkeypatch.context() as patched:
        patched.setattr("os.open", refuse)
        with pytest.raises(SettingsError, match=f"the folder {state} belongs to nobody") as caught:
            site_key.read_or_create(state / "site.key")
    assert "run the command as that user (sudo -u nobody fundusd ...)" in caught.value.hint
    assert "Name a file" not in caught.value.hint

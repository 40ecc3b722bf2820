"""`fundusd check` asks what it says ok to: the device, folders for documents, space on the disk."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from tests import daemon_cases
from tests.cli.test_commands import RunCommand, fundusd, place
from tests.watcher.test_permissions import unprivileged

from fundusd.app import health_check_machine
from fundusd.app.settings import ReceiverSettings
from fundusd.model import device

__all__ = ["fundusd", "place"]  # fixtures

RECEIVER = '[[receiver]]\nid = "results"\ndocument = "csv"\nfolder = "{folder}"\n'


def test_check_names_the_device(fundusd: RunCommand, place: daemon_cases.Site) -> None:
    text = place.path.read_text().replace("batch_size = 4", 'device = "cpu"')
    place.path.write_text(text)
    ended = fundusd("check", "--config", place.path)
    assert ended.code == 0
    assert "ok    device: cpu (cpu), " in ended.out


@pytest.mark.skipif(device.may_have_gpu(), reason="this machine may have the device")
def test_check_refuses_a_device_that_run_would_refuse(
    fundusd: RunCommand, place: daemon_cases.Site
) -> None:
    text = place.path.read_text().replace("batch_size = 4", 'device = "cuda"')
    place.path.write_text(text)
    ended = fundusd("check", "--config", place.path)
    assert ended.code == 1
    assert "WRONG device: torch" in ended.out
    assert "finds no device 'cuda'" in ended.out
    assert "nvidia-smi" in ended.out


def test_check_says_whether_documents_can_be_written(
    fundusd: RunCommand, place: daemon_cases.Site
) -> None:
    folder = place.folder / "results"
    with place.path.open("a") as file:
        file.write(RECEIVER.format(folder=folder))
    ended = fundusd("check", "--config", place.path)
    assert ended.code == 1
    assert f"WRONG folder of results: {folder} does not exist" in ended.out
    assert "ReadWritePaths=" in ended.out
    folder.write_text("")
    assert f"{folder} is not a folder" in fundusd("check", "--config", place.path).out
    folder.unlink()
    folder.mkdir()
    ended = fundusd("check", "--config", place.path)
    assert ended.code == 0
    assert f"ok    folder of results: {folder}, writable" in ended.out


def test_a_folder_that_this_user_may_not_write_to_is_a_problem() -> None:
    receiver = ReceiverSettings(id="results", document="csv", folder=Path("/proc/sys"))  # type: ignore[arg-type]
    with unprivileged():
        problem = health_check_machine.folder_problem(receiver)
    assert problem == "/proc/sys cannot be written to by this user"


def test_check_says_when_the_disk_of_the_database_is_nearly_full(
    fundusd: RunCommand, place: daemon_cases.Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "ok    free space for the database: " in fundusd("check", "--config", place.path).out
    nearly_full = type(shutil.disk_usage("/"))(100, 90, 10)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: nearly_full)
    ended = fundusd("check", "--config", place.path)
    assert ended.code == 1
    assert "WRONG free space for the database: 0.0 GiB" in ended.out

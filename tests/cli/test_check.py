"""`fundusd check` asks what it says ok to: the device, folders for documents, space on the disk."""

from __future__ import annotations

import os
import shutil
import struct
import tempfile
from pathlib import Path

import pytest
from tests import daemon_cases
from tests.cli.test_commands import RunCommand, fundusd, place
from tests.outbox.receiver_cases import free_port, raw_server
from tests.service_user_cases import USER, needs_users, site_of_service
from tests.watcher.test_permissions import unprivileged

from fundusd.app import (
    health_check_machine,
    health_check_receivers,
    inbox_trouble,
    service_unit,
)
from fundusd.app.settings import ReceiverSettings, Settings
from fundusd.domain.errors import ExitStatus
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


def test_a_key_or_a_secret_that_the_group_can_read_is_warned_of(
    fundusd: RunCommand, place: daemon_cases.Site
) -> None:
    """The group is that of the people who look, who could undo the pseudonyms."""
    key, token = place.folder / "site.key", place.folder / "token"
    key.write_text(os.urandom(32).hex())
    token.write_text("s3cret")
    with place.path.open("a") as file:
        file.write(
            '[[receiver]]\nid = "r"\ndocument = "fhir"\nfhir = "http://127.0.0.1:1"\n'
            f'token_file = "{token}"\n'
        )
    for mode in (0o640, 0o400):
        key.chmod(mode)
        token.chmod(mode)
        ended = fundusd("check", "--config", place.path)
        for closed in (key, token):
            warning = f"WARN  rights of {closed}: its group can read it"
            assert (warning in ended.out) == (mode == 0o640), ended.out
            assert (f"chmod 0400 {closed}" in ended.out) == (mode == 0o640)
        assert ended.code == 0, ended.out


def acl(reader: int) -> bytes:
    """Return an access control list, as its extended attribute, that lets one more user read."""
    rights = [(1, 6, -1), (2, 4, reader), (4, 0, -1), (16, 4, -1), (32, 0, -1)]
    entries = (struct.pack("<HHi", *entry) for entry in rights)
    return struct.pack("<I", 2) + b"".join(entries)


@needs_users
def test_closing_a_key_to_the_group_does_not_close_it_to_the_service(
    fundusd: RunCommand, place: daemon_cases.Site
) -> None:
    """The service may read a file as a member of the group, or by an access control list."""
    folder = place.folder / "a b"
    folder.mkdir()
    token, shared = folder / "token", folder / "shared"
    for file in (token, shared):
        file.write_text("s3cret")
        file.chmod(0o640)
    os.chown(token, USER, USER)
    os.setxattr(shared, "system.posix_acl_access", acl(USER))
    with place.path.open("a") as settings:
        for file in (token, token, shared):
            settings.write(
                f'[[receiver]]\nid = "r{settings.tell()}"\ndocument = "fhir"\n'
                f'fhir = "http://127.0.0.1:1"\ntoken_file = "{file}"\n'
            )
    printed = fundusd("check", "--config", place.path).out
    command = f"sudo chown fundusd: '{token}' && sudo chmod 0400 '{token}'"
    assert printed.count(f"WARN  rights of {token}") == printed.count(command) == 1, printed
    assert f"rights of {shared}" not in printed


SERVERS = """
[[receiver]]
id = "registry"
document = "fhir"
fhir = "http://127.0.0.1:{port}"
[[receiver]]
id = "down"
document = "sr"
stow = "http://127.0.0.1:{closed}"
"""


def test_a_server_that_is_down_is_a_warning_with_a_line_of_its_own(
    fundusd: RunCommand, place: daemon_cases.Site
) -> None:
    closed = free_port()
    statement = b'{"resourceType": "CapabilityStatement", "fhirVersion": "4.0.1"}'
    head = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(statement)
    with raw_server(head, statement) as url, place.path.open("a") as file:
        file.write(SERVERS.format(port=url.rpartition(":")[2], closed=closed))
        file.flush()
        ended = fundusd("check", "--config", place.path)
    assert ended.code == 0
    lines = ended.out.splitlines()
    assert f"ok    receiver registry: {url}: FHIR 4.0.1 answers" in lines
    down = lines.index(
        f"WARN  receiver down: http://127.0.0.1:{closed}: unreachable (ConnectionError)"
    )
    assert "its documents wait" in lines[down + 1]


UNIT = """\
LoadState=loaded
User=fundusd
StateDirectory=fundusd
PrivateNetwork=yes
ProtectSystem=strict
ReadWritePaths=-{folder}/results
"""


def test_what_the_unit_forbids_is_wrong_and_what_it_may_forbid_is_warned_of(tmp_path: Path) -> None:
    unit = service_unit.read("fundusd.service", UNIT.format(folder=tmp_path))
    for name in ("real", "elsewhere"):
        (tmp_path / name).mkdir()
    (tmp_path / "results").symlink_to("real")
    sections = [
        {"id": "results", "document": "csv", "folder": str(tmp_path / "results")},
        {"id": "real", "document": "csv", "folder": str(tmp_path / "real")},
        {"id": "elsewhere", "document": "csv", "folder": str(tmp_path / "elsewhere")},
        {"id": "archive", "document": "sr", "dicom": "ARCHIVE@pacs.example.org:104"},
    ]
    settings = Settings.model_validate({"receiver": sections})
    results, real, elsewhere, archive = health_check_receivers.receivers(settings, unit)
    assert results.ok
    assert [results.is_warning, real.is_warning] == [False, False]
    assert elsewhere.ok  # other settings of the unit may make it writable
    assert (elsewhere.is_warning, "ReadWritePaths=" in elsewhere.hint) == (True, True)
    assert "may not be writable for fundusd.service" in elsewhere.verdict
    assert (archive.ok, archive.verdict) == (
        False,
        "fundusd.service has no network (PrivateNetwork=yes)",
    )
    assert "docs/documents.md" in archive.hint


def test_check_says_of_each_wrong_inbox_what_is_wrong_and_what_to_do(
    fundusd: RunCommand, place: daemon_cases.Site
) -> None:
    place.inbox.rmdir()
    ended = fundusd("check", "--config", place.path)
    assert f"WRONG inbox of room1: {place.inbox} does not exist" in ended.out
    assert "Mount the share" in ended.out
    place.inbox.touch()
    for inbox in (place.inbox, place.inbox / "export"):
        text = place.path.read_text().replace(f'"{place.inbox}"', f'"{inbox}"')
        place.path.write_text(text)
        ended = fundusd("check", "--config", place.path)
        assert f"WRONG inbox of room1: {place.inbox} is a file, not a folder" in ended.out
        assert "Name the folder to which the camera exports" in ended.out


def test_an_inbox_that_this_user_may_not_enter_or_that_a_share_has_lost_is_told_of(
    tmp_path: Path,
) -> None:
    closed = Path(tempfile.mkdtemp())
    (closed / "inbox").mkdir()
    with unprivileged():
        problem, hint = inbox_trouble.of(closed / "inbox", PermissionError(13, "Permission denied"))
    assert problem.endswith(f" (Permission denied): {closed} is closed")
    assert f"namei -l {closed}/inbox" in hint
    assert "SupplementaryGroups=" in hint
    shutil.rmtree(closed)
    problem, hint = inbox_trouble.of(tmp_path, OSError(116, "Stale file handle"))
    assert problem == f"{tmp_path} cannot be listed (Stale file handle)"
    assert "Mount the share again" in hint


@needs_users
def test_check_by_root_says_what_the_user_of_the_service_sees(sqlite_url: str) -> None:
    with site_of_service(sqlite_url) as place:
        with place.path.open("a") as file:
            file.write(RECEIVER.format(folder=place.folder / "documents"))
        for closed in (place.inbox, place.folder / "documents", place.path):
            os.chown(closed, 0, 0)
            closed.chmod(0o700)
        ended = place.by_root("check")
        assert ended.returncode == ExitStatus.NO
        assert (
            f"WRONG settings file: {place.path} belongs to root, and user #{USER}" in ended.stdout
        )
        refused = f"WRONG inbox of room1: {place.inbox} cannot be listed by user #{USER}"
        assert refused in ended.stdout
        assert f"WRONG folder of results: {place.folder}/documents cannot be" in ended.stdout
        for closed in (place.inbox, place.folder / "documents", place.path):
            closed.chmod(0o755 if closed != place.folder / "documents" else 0o777)
        ended = place.by_root("check")
        assert ended.returncode == ExitStatus.OK, ended.stdout
        assert sorted(place.not_of_service()) == ["documents", "fundusd.toml", "inbox"]

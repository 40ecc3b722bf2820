from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import signal
import socket
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from fundusd.domain.clinical_terms import Reason
from fundusd.domain.errors import CaptureError
from fundusd.files import filesystem, safe_read, writer_lease
from fundusd.files.writer_lease import Probe

if TYPE_CHECKING:
    from collections.abc import Iterator

LIMIT = 1 << 20


@contextlib.contextmanager
def refused(reason: Reason) -> Iterator[None]:
    """Expect a CaptureError that does not reveal the path."""
    with pytest.raises(CaptureError) as caught:
        yield
    assert caught.value.reason is reason
    assert str(caught.value) == reason.value
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


@pytest.fixture
def leases() -> Iterator[None]:
    before = signal.getsignal(signal.SIGIO)
    writer_lease.ignore_lease_breaks()
    yield
    signal.signal(signal.SIGIO, before)


def open_descriptors() -> set[str]:
    return {entry.name for entry in Path("/proc/self/fd").iterdir()}


def opened(path: Path) -> int:
    return safe_read.open_capture(path.parent, os.fsencode(path.name))


@pytest.mark.parametrize(
    "name", [b"OD.jpg", b"P1/2024/OD.jpg", b"\xff\xfe.jpg", b"a\nb.jpg", b"x" * 255]
)
def test_a_file_is_read_whatever_its_name(tmp_path: Path, name: bytes) -> None:
    target = tmp_path / os.fsdecode(name)
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(b"bytes")
    assert safe_read.read_capture(tmp_path, name, LIMIT) == b"bytes"


def test_the_inbox_itself_may_be_a_link(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "real/a.jpg").write_bytes(b"bytes")
    (tmp_path / "link").symlink_to("real")
    assert safe_read.read_capture(tmp_path / "link", b"a.jpg", LIMIT) == b"bytes"


def test_a_linked_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"bytes")
    (tmp_path / "link.jpg").symlink_to("a.jpg")
    with refused(Reason.FILE_UNREADABLE):
        safe_read.open_capture(tmp_path, b"link.jpg")


def test_a_file_behind_a_linked_folder_is_missing(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "real/a.jpg").write_bytes(b"bytes")
    (tmp_path / "link").symlink_to("real")
    with refused(Reason.FILE_MISSING):
        safe_read.open_capture(tmp_path, b"link/a.jpg")


@pytest.mark.parametrize(
    "path", [b"", b"/etc/passwd", b"../a.jpg", b"P/../a.jpg", b"./a.jpg", b"P//a.jpg", b"a\0.jpg"]
)
def test_a_path_that_leaves_the_inbox_or_is_none_is_refused(tmp_path: Path, path: bytes) -> None:
    (tmp_path / "a.jpg").write_bytes(b"bytes")
    (tmp_path / "P").mkdir()
    (tmp_path / "P/a.jpg").write_bytes(b"bytes")
    with refused(Reason.FILE_UNREADABLE):
        safe_read.open_capture(tmp_path / "P", path)


def test_a_fifo_a_folder_a_socket_and_a_device_are_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo.jpg")
    (tmp_path / "folder.jpg").mkdir()
    descriptors = open_descriptors()
    for path in (b"fifo.jpg", b"folder.jpg"):
        with refused(Reason.FILE_UNREADABLE):
            safe_read.open_capture(tmp_path, path)
    with contextlib.closing(socket.socket(socket.AF_UNIX)) as listener:
        listener.bind(str(tmp_path / "socket.jpg"))
        with refused(Reason.FILE_UNREADABLE):
            safe_read.open_capture(tmp_path, b"socket.jpg")
    with refused(Reason.FILE_UNREADABLE):
        safe_read.open_capture(Path("/dev"), b"null")
    assert open_descriptors() == descriptors


def test_a_missing_file_and_a_missing_folder_are_missing(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"bytes")
    for path in (b"b.jpg", b"P/a.jpg", b"a.jpg/b.jpg"):
        with refused(Reason.FILE_MISSING):
            safe_read.read_capture(tmp_path, path, LIMIT)


def test_a_file_over_the_limit_is_not_read(tmp_path: Path) -> None:
    with (tmp_path / "a.jpg").open("wb") as file:
        file.truncate(1 << 40)
    with refused(Reason.TOO_MANY_BYTES):
        safe_read.read_capture(tmp_path, b"a.jpg", LIMIT)


def test_a_file_that_grows_or_shrinks_under_the_read_has_changed(tmp_path: Path) -> None:
    # /proc files say they are empty and are not
    with refused(Reason.FILE_CHANGED):
        safe_read.read_capture(Path("/proc/self"), b"status", LIMIT)


def test_a_read_that_fails_is_unreadable() -> None:
    with refused(Reason.FILE_UNREADABLE):
        safe_read.digest_settled(999_999, safe_read.stat_of(Path("/").stat()))
    with refused(Reason.FILE_UNREADABLE):
        safe_read.read_at(999_999, 4, 0)
    with refused(Reason.FILE_UNREADABLE):
        safe_read.status_at(Path("/"), b"x" * 300)


def test_settled_bytes_are_digested_once_through(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(b"x" * (3 << 20))
    steps: list[None] = []
    descriptor = opened(path)
    digest = safe_read.digest_settled(
        descriptor, safe_read.stat_of(path.stat()), lambda: steps.append(None)
    )
    os.close(descriptor)
    assert digest == hashlib.sha256(path.read_bytes()).hexdigest()
    assert len(steps) == 3


def test_a_file_that_is_not_as_expected_has_no_digest(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(b"before")
    expected = safe_read.stat_of(path.stat())
    path.write_bytes(b"after!")
    descriptor = opened(path)
    assert safe_read.digest_settled(descriptor, expected) is None
    os.close(descriptor)


def test_a_file_that_changes_while_it_is_digested_has_no_digest(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(b"x" * (2 << 20))
    descriptor = opened(path)
    expected = safe_read.stat_of(path.stat())
    assert safe_read.digest_settled(descriptor, expected, lambda: os.utime(path)) is None
    os.close(descriptor)


def test_a_path_leads_to_the_file_until_another_takes_its_place(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(b"one")
    stat = safe_read.stat_of(path.stat())
    assert safe_read.still_there(tmp_path, b"a.jpg", stat)
    (tmp_path / "b.jpg").write_bytes(b"two")
    (tmp_path / "b.jpg").rename(path)
    assert not safe_read.still_there(tmp_path, b"a.jpg", stat)
    path.unlink()
    assert not safe_read.still_there(tmp_path, b"a.jpg", stat)
    path.symlink_to("b.jpg")
    assert safe_read.status_at(tmp_path, b"a.jpg") is None


@pytest.mark.usefixtures("leases")
def test_a_writer_shows_for_as_long_as_it_holds_the_file_open(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    with path.open("wb") as writer:
        writer.write(b"bytes")
        writer.flush()
        descriptor = opened(path)
        assert writer_lease.probe_writer(descriptor) is Probe.BUSY
    assert writer_lease.probe_writer(descriptor) is Probe.FREE
    assert fcntl.fcntl(descriptor, fcntl.F_GETLEASE) == fcntl.F_UNLCK
    os.close(descriptor)


@pytest.mark.usefixtures("leases")
def test_without_leases_the_probe_is_unavailable() -> None:
    reader, writer = os.pipe()  # like another user's file without CAP_LEASE
    assert writer_lease.probe_writer(reader) is Probe.UNAVAILABLE
    os.close(reader)
    os.close(writer)


def test_nothing_is_probed_while_a_broken_lease_would_end_the_process(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(b"bytes")
    before = signal.signal(signal.SIGIO, signal.SIG_DFL)
    descriptor = opened(path)
    assert writer_lease.probe_writer(descriptor) is Probe.UNAVAILABLE
    os.close(descriptor)
    signal.signal(signal.SIGIO, before)


def test_local_file_systems_are_told_by_their_magic() -> None:
    assert filesystem.f_type(Path("/proc")) == 0x9FA0
    assert not filesystem.is_network_filesystem(Path("/proc"))
    with pytest.raises(OSError, match="statfs failed") as caught:
        filesystem.f_type(Path("/no such place"))
    assert "no such place" not in str(caught.value)

"""Hostile names, files and bytes: each ends with its reason, and its neighbour is graded."""

from __future__ import annotations

import contextlib
import os
import signal
import struct
import zlib
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pydicom.uid as syntax
import pytest
from tests import imaging_cases as cases
from tests.daemon_cases import Daemon, Site, drop, running, site

from fundusd.domain.clinical_terms import Eye, Grade, Reason
from fundusd.imaging import phantoms

if TYPE_CHECKING:
    from collections.abc import Iterable

DATA = Path(__file__).parents[3] / "shared" / "data"
HOSTILE = DATA / "hostile"
# whole photographs that only look strange, of a retina with few visible vessels; the others are no
# retina, damaged, or nothing we read
RETINAS = {"no_preamble.dcm", "fundus_exif_orientation_6.jpg", "trailing_garbage.jpg"}
PICTURE = phantoms.render(Grade.MILD, Eye.RIGHT, 5, 640, 480)
GOOD = phantoms.as_jpeg(PICTURE)


def good(number: int) -> bytes:
    """Make a capture that is graded, with different bytes for each number."""
    return GOOD + number.to_bytes(4)


def reasons(place: Site) -> dict[str, str | None]:
    return {row["path"]: row["reason"] for row in place.rows()}


def waiting(place: Site) -> int:
    counts = place.reconciled().counts
    return sum(
        count for state, count in counts.items() if state.startswith(("waiting", "incomplete"))
    )


def require_unshaken(place: Site, daemon: Daemon, graded: Iterable[str]) -> None:
    """Require one start, no unknown failure, every file accounted for and the good ones graded."""
    assert daemon.stop() == 0
    events = [line["event"] for line in daemon.lines]
    assert events.count("service.started") == 1
    assert not {"capture.broke", "decoder.replaced"} & set(events)
    assert place.reconciled().unaccounted == []
    assert place.verdict().broken_seq is None
    assert {path for path, reason in reasons(place).items() if reason is None} == set(graded)


# --- names and things ---

# ignored, like every name that begins with a dot
HIDDEN = [b"..jpg", b"...", b"..%2f..%2fetc%2fpasswd.jpg"]
NAMES = [
    b"-rf.jpg",
    b" .jpg",
    b"a\nb\r\tc.jpg",
    b"\x1b[2J\x1b]0;owned\x07.jpg",
    b"\xff\xfe\xc3(.jpg",
    b"'; DROP TABLE capture;--.jpg",
    b"%s%n{0}${HOME}`id`.jpg",
    "Ω\u202egpj.exe".encode(),
    b"x" * 251 + b".jpg",
]


def test_no_name_and_no_thing_in_the_inbox_leads_astray(tmp_path: Path, store_url: str) -> None:
    place = site(tmp_path, store_url)
    inbox, deep = os.fsencode(place.inbox), b"/".join([b"d" * 255] * 7)
    (tmp_path / "secret.jpg").write_bytes(good(1000))
    for number, name in enumerate([*NAMES, *HIDDEN]):
        Path(os.fsdecode(inbox + b"/" + name)).write_bytes(good(number))
    drop(place, os.fsdecode(deep + b"/deep.jpg"), good(300))
    (place.inbox / "outside.jpg").symlink_to(tmp_path / "secret.jpg")
    (place.inbox / "folder").symlink_to(tmp_path)
    (place.inbox / "loop").symlink_to(".")
    first = drop(place, "P/first.jpg", good(500))
    (place.inbox / "hard.jpg").hardlink_to(first)  # a capture like any other
    os.mkfifo(place.inbox / "fifo.jpg")
    (place.inbox / "folder.jpg").mkdir()
    with contextlib.suppress(PermissionError):  # root alone makes devices
        os.mknod(place.inbox / "zero.jpg", 0o600 | 0o020000, os.makedev(1, 5))
    with running(place) as daemon:
        daemon.await_event("service.ready")
        daemon.await_that(lambda: len(place.rows()) == len(NAMES) + 3 and place.is_done())
        paths = [row["path"] for row in place.rows()]
        require_unshaken(place, daemon, paths)
        assert not [
            line for line in daemon.raw if b"owned" in line or b"DROP" in line or b"secret" in line
        ]
    counts = place.reconciled().counts
    assert counts["ignored: symlink"] == 3
    assert counts["ignored: not_a_regular_file"] in {1, 2}
    assert counts["ignored: temporary_name"] == len(HIDDEN)
    assert counts["graded"] == len(paths)


# --- bytes ---


def png_of(width: int, height: int, claimed: tuple[int, int] | None = None) -> bytes:
    """Make a black PNG that is as large as it says, or claims to be larger."""
    data = bytearray(cases.encode(np.zeros((height, width), np.uint8), "PNG"))
    if claimed:
        data[16:24] = struct.pack(">II", *claimed)
        data[29:33] = struct.pack(">I", zlib.crc32(data[12:29]))
    return bytes(data)


def exif_loop() -> bytes:
    """Make a JPEG whose Exif directory refers to itself."""
    first = struct.pack("<I", 8)
    entry = struct.pack("<HHI", 0x8769, 4, 1) + first  # its Exif directory is the first again
    tiff = b"II*\0" + first + struct.pack("<H", 1) + entry + first  # so is the directory after it
    segment = b"Exif\0\0" + tiff
    return GOOD[:2] + b"\xff\xe1" + struct.pack(">H", len(segment) + 2) + segment + GOOD[2:]


def tiff_loop() -> bytes:
    """Make a TIFF whose next page is its first."""
    data = bytearray(cases.encode(PICTURE, "TIFF"))
    start = struct.unpack_from("<I", data, 4)[0]
    (count,) = struct.unpack_from("<H", data, start)
    struct.pack_into("<I", data, start + 2 + 12 * count, start)
    return bytes(data)


def nested(depth: int) -> bytes:
    whole = cases.native(PICTURE)
    sequence = b"\x08\0\x40\x11SQ\0\0\xff\xff\xff\xff\xfe\xff\0\xe0\xff\xff\xff\xff"
    start = whole.index(b"\x08\0\x16\0UI")
    return whole[:start] + sequence * depth + whole[start:]


def lying(length: bytes) -> bytes:
    whole = cases.native(PICTURE)
    start = whole.rindex(b"\xe0\x7f\x10\0OB") + 8
    return whole[:start] + length + whole[start + 4 :]


def deflated_bomb() -> bytes:
    whole = cases.native(PICTURE, syntax.DeflatedExplicitVRLittleEndian)
    start = 144 + int.from_bytes(whole[140:144], "little")
    bomb = zlib.compressobj(wbits=-15)
    return whole[:start] + bomb.compress(bytes(300_000_000)) + bomb.flush()


def colour_as(photometric: str) -> bytes:
    return cases.jpeg_dicom(PICTURE, PhotometricInterpretation=photometric)


FRAME = cases.encode(PICTURE, "JPEG", quality=95)
BYTES = {
    # what pydicom and pylibjpeg decode to wrong pixels without a word, by clinical.md
    "fragment_cut.dcm": (
        cases.jpeg_dicom(PICTURE, frame=FRAME[: len(FRAME) // 2]),
        Reason.TRUNCATED,
    ),
    "ycc_labelled_rgb.dcm": (colour_as("RGB"), Reason.COLOUR_MISMATCH),
    "jpeg_labelled_j2k.dcm": (
        cases.encapsulated(PICTURE, FRAME, syntax.JPEG2000),
        Reason.CODEC_MISMATCH,
    ),
    "no_pixels.dcm": (
        cases.write(cases.header(PICTURE), syntax.ExplicitVRLittleEndian),
        Reason.NO_PIXEL_DATA,
    ),
    # bombs and loops
    "claims_pixels.png": (png_of(64, 64, (60_000, 60_000)), Reason.TOO_MANY_PIXELS),
    "claims_pixels.dcm": (
        cases.native(PICTURE, Rows=60_000, Columns=60_000),
        Reason.TOO_MANY_PIXELS,
    ),
    "has_pixels.png": (png_of(9000, 7000), Reason.TOO_MANY_PIXELS),
    "unfolds.dcm": (deflated_bomb(), Reason.TOO_MANY_BYTES),
    "nested.dcm": (nested(3000), Reason.DECODE_ERROR),
    "exif_loop.jpg": (exif_loop(), None),  # Exif is not the pixels
    "tiff_loop.tif": (tiff_loop(), None),
    # lengths that lie
    "too_long.dcm": (lying(b"\xfe\xff\xff\x7f"), Reason.TRUNCATED),
    "too_short.dcm": (lying(b"\x02\0\0\0"), Reason.TRUNCATED),
    "undefined.dcm": (lying(b"\xff\xff\xff\xff"), Reason.DECODE_ERROR),
    # nothing at all
    "one_byte.jpg": (b"\xff", Reason.UNKNOWN_FORMAT),
    "text.jpg": (b"not a picture", Reason.UNKNOWN_FORMAT),
}


def test_each_hostile_capture_ends_with_its_reason_and_the_one_beside_it_is_graded(
    tmp_path: Path, sqlite_url: str
) -> None:
    place, expected = site(tmp_path, sqlite_url), dict[str, str | None]()
    for number, (name, (data, reason)) in enumerate(BYTES.items()):
        drop(place, f"P{number}/{name}", data)
        drop(place, f"P{number}/good_OD.jpg", good(number))
        expected |= {f"P{number}/{name}": reason, f"P{number}/good_OD.jpg": None}
    with running(place) as daemon:
        daemon.await_event("service.ready")
        daemon.await_that(lambda: len(place.rows()) == len(expected) and place.is_done())
        require_unshaken(
            place, daemon, [path for path, reason in expected.items() if reason is None]
        )
    assert reasons(place) == expected


@pytest.mark.slow
@pytest.mark.skipif(not HOSTILE.is_dir(), reason="no ../shared/data here")
def test_every_file_of_the_hostile_collection_is_accounted_for(
    tmp_path: Path, sqlite_url: str
) -> None:
    place = site(tmp_path, sqlite_url)
    files = sorted(path for path in HOSTILE.rglob("*") if path.is_file())
    graded = set()
    empty = sum(not path.stat().st_size for path in files)
    for number, path in enumerate(files):
        drop(place, f"P{number}/{path.name}", path.read_bytes())
        drop(place, f"P{number}/good_OD.jpg", good(number))
        graded.add(f"P{number}/good_OD.jpg")
    assert len(files) > 100
    with running(place) as daemon:
        daemon.await_event("service.ready")
        daemon.await_event("capture.graded", len(graded))
        daemon.await_that(lambda: waiting(place) == empty)
        require_unshaken(place, daemon, graded)
    hazy = {path for path, reason in reasons(place).items() if reason == "low_contrast"}
    assert {Path(path).name for path in hazy} == RETINAS
    reconciliation = place.reconciled()
    assert reconciliation.files == 2 * len(files)
    states = {state.partition(":")[0] for state in reconciliation.counts}
    # an empty file waits for its content; after ten seconds it is called incomplete
    assert states - {"waiting", "incomplete"} == {
        "graded",
        "ungradable",
        "refused",
        "failed",
        "ignored",
    }


# --- decoders that die ---


def decoders(daemon: Daemon) -> list[int]:
    """Return the process ids of a daemon's decoders."""
    pids = []
    for status in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            parent = int(status.read_text().rpartition(")")[2].split()[1])
            if (
                parent == daemon.process.pid
                and b"fundusd.imaging.decoder_process" in status.with_name("cmdline").read_bytes()
            ):
                pids.append(int(status.parent.name))
    return pids


@pytest.mark.parametrize(
    ("number", "reason"),
    [(signal.SIGSTOP, Reason.TIMEOUT), (signal.SIGSEGV, Reason.DECODER_CRASHED)],
)
def test_a_decoder_that_hangs_or_crashes_costs_an_attempt_and_no_start(
    tmp_path: Path, sqlite_url: str, number: signal.Signals, reason: Reason
) -> None:
    place = site(tmp_path, sqlite_url)
    text = place.path.read_text()
    place.path.write_text(text.replace("processes = 2", "processes = 1\nseconds = 5"))
    drop(place, "P0/good_OD.jpg", good(0))
    with running(place) as daemon:
        daemon.await_event("service.ready")
        daemon.await_event("capture.graded")
        (pid,) = decoders(daemon)
        os.kill(pid, number)
        drop(place, "P1/good_OD.jpg", good(1))
        assert daemon.await_event("capture.postponed")["reason"] == reason
        daemon.await_event("capture.graded", 2)
        assert daemon.await_event("decoder.replaced")["count"] == 1
        assert pid not in decoders(daemon)
        assert daemon.stop() == 0
    assert [line["event"] for line in daemon.lines].count("service.started") == 1
    assert place.reconciled().counts == {"graded": 2}
    assert place.verdict().broken_seq is None

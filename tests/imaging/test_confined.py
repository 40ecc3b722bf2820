"""With the system call filter everything decodes as without it, and no file is opened."""

from __future__ import annotations

import pickle
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pydicom.uid as syntax
import pytest
from PIL import Image
from tests import imaging_cases as cases

from fundusd.domain.clinical_terms import Reason
from fundusd.domain.decoding import Preprocessing
from fundusd.imaging.decode import decode
from fundusd.imaging.decoder_pool import DecoderPool
from fundusd.imaging.limits import Limits

if TYPE_CHECKING:
    from collections.abc import Iterator

DATA = Path(__file__).parents[3] / "shared" / "data"
PAD = Preprocessing.PAD_SQUARE
SIDE = 64
RETINA = cases.retina()
# DICOM's terms, PS3.3 C.12.1.1.2
CHARSETS = [
    *(
        "",
        "ISO_IR 6",
        "ISO_IR 100",
        "ISO_IR 101",
        "ISO_IR 109",
        "ISO_IR 110",
        "ISO_IR 144",
        "ISO_IR 127",
        "ISO_IR 126",
    ),
    *("ISO_IR 138", "ISO_IR 148", "ISO_IR 13", "ISO_IR 166", "ISO_IR 192", "GB18030", "GBK"),
    *(
        "ISO 2022 IR 6\\ISO 2022 IR 87",
        "ISO 2022 IR 13\\ISO 2022 IR 159",
        "\\ISO 2022 IR 149",
        "\\ISO 2022 IR 58",
    ),
]


def rasters() -> Iterator[tuple[str, bytes]]:
    picture = Image.fromarray(RETINA)
    turned = Image.Exif()
    turned[0x112] = 6
    yield "JPEG progressive", cases.encode(picture, "JPEG", progressive=True)
    yield "JPEG with Exif", cases.encode(picture, "JPEG", exif=turned)
    yield "JPEG with a profile", cases.encode(picture, "JPEG", icc_profile=b"no profile")
    yield "JPEG read by Pillow", cases.blocky_jpeg(480, 480, [(2, 2), (2, 1), (1, 2)])
    yield "APNG", cases.encode(picture, "PNG", save_all=True, append_images=[picture.rotate(90)])
    yield "MPO", cases.encode(picture, "MPO", save_all=True, append_images=[picture])
    for mode in ("RGB", "L", "1", "P", "LA", "RGBA", "CMYK", "I;16", "YCbCr", "F", "LAB"):
        pixels = np.asarray(picture.convert("L")) * np.uint16(257)
        converted = Image.fromarray(pixels) if mode == "I;16" else _of_mode(picture, mode)
        for kind, refused in (("PNG", {"CMYK", "YCbCr", "F", "LAB"}), ("TIFF", {"none"})):
            if mode not in refused:
                yield f"{kind} {mode}", cases.encode(converted, kind)
    for compression in (
        "tiff_lzw",
        "tiff_deflate",
        "tiff_adobe_deflate",
        "packbits",
        "jpeg",
        "zstd",
        "lzma",
    ):
        yield f"TIFF {compression}", cases.encode(picture, "TIFF", compression=compression)
    for compression in ("group3", "group4", "tiff_ccitt"):
        yield (
            f"TIFF {compression}",
            cases.encode(picture.convert("1"), "TIFF", compression=compression),
        )


def _of_mode(picture: Image.Image, mode: str) -> Image.Image:
    return Image.new("LAB", picture.size) if mode == "LAB" else picture.convert(mode)


def dicoms() -> Iterator[tuple[str, bytes]]:
    for uid in (
        syntax.ImplicitVRLittleEndian,
        syntax.ExplicitVRLittleEndian,
        syntax.ExplicitVRBigEndian,
        syntax.DeflatedExplicitVRLittleEndian,
    ):
        yield uid.name, cases.native(RETINA, uid)
    for uid in (syntax.JPEGBaseline8Bit, syntax.JPEGExtended12Bit):
        frame = cases.encode(RETINA, "JPEG", quality=95)
        yield (
            uid.name,
            cases.encapsulated(RETINA, frame, uid, PhotometricInterpretation="YBR_FULL_422"),
        )
    for uid in (syntax.JPEGLossless, syntax.JPEGLosslessSV1):
        yield uid.name, cases.encapsulated(RETINA, cases.lossless_jpeg(RETINA), uid)
    for uid in (syntax.JPEGLSLossless, syntax.JPEGLSNearLossless):
        # No encoder at hand: nothing but markers
        size = b"\xff\xf7\0\x11\x08\x01\xe0\x02\0\3\1\x11\0\2\x11\0\3\x11\0"
        frame = b"\xff\xd8" + size + b"\xff\xda\0\x0c\3\1\0\2\0\3\0\0\2\0\x7f\x80\xff\xd9"
        yield uid.name, cases.encapsulated(RETINA, frame, uid)
    for uid in (syntax.RLELossless, syntax.JPEG2000Lossless):
        yield uid.name, cases.compressed(RETINA, uid)
    boxed = cases.encode(RETINA, "JPEG2000", quality_mode="rates", quality_layers=[4])
    yield (
        syntax.JPEG2000.name,
        cases.encapsulated(RETINA, boxed, syntax.JPEG2000, PhotometricInterpretation="YBR_ICT"),
    )
    yield "16 bits", cases.native(RETINA.astype(np.uint16) * np.uint16(257))
    for terms in CHARSETS:
        whole = cases.native(RETINA, SpecificCharacterSet=terms.split("\\"))
        yield (
            f"in {terms or 'no'} characters",
            whole.replace(b"PATIENT-7", b"P\xe4\x1b$B\xb1\xc4M7"),
        )


@pytest.fixture(scope="module")
def everything() -> dict[str, bytes]:
    made = dict([*rasters(), *dicoms()])
    given = {
        str(path): path.read_bytes() for path in (DATA / "hostile").rglob("*") if path.is_file()
    }
    return {**made, **given, "nothing": b"nothing", "cut": made["PNG RGB"][:5000]}


@pytest.fixture(scope="module")
def pool() -> Iterator[DecoderPool]:
    with DecoderPool(1, PAD, SIDE) as shared:
        yield shared


@pytest.mark.usefixtures("as_in_a_decoder_process")
def test_everything_decodes_under_the_filter_as_it_does_without(
    pool: DecoderPool, everything: dict[str, bytes]
) -> None:
    outcomes = set()
    for name, data in everything.items():
        there, here = pool.decode(data), decode(data, PAD, SIDE, Limits())
        outcomes.add(there.reason)
        assert (there.content, there.reason) == (here.content, here.reason), name
        if there.pixels is not None and here.pixels is not None:
            assert np.array_equal(there.pixels, here.pixels), name
    assert outcomes >= {
        None,
        Reason.MULTIFRAME,
        Reason.REDFREE_OR_FA,
        Reason.DECODE_ERROR,
        Reason.TRUNCATED,
    }
    assert pool.restarts == 0


# New entries in sys.modules count as well: extension modules may load without an event
LATE = """
import os, pickle, sys
from fundusd.domain.decoding import Preprocessing
from fundusd.imaging import decoder_process
from fundusd.imaging.limits import Limits
decoder_process.warm_up()
files, events, late = pickle.load(sys.stdin.buffer), [], {}
def record(event, arguments):
    if event in {"open", "import", "os.listdir"}:
        events.append(event)
sys.addaudithook(record)
for name, data in files.items():
    events.clear()
    before = set(sys.modules)
    decoder_process.decode(data, Preprocessing.PAD_SQUARE, 64, Limits())
    if events or set(sys.modules) - before:
        late[name] = [*events, *(set(sys.modules) - before)]
    sys.stderr.flush()
print(late)
"""


def test_nothing_is_imported_or_opened_after_the_warm_up(everything: dict[str, bytes]) -> None:
    command = [sys.executable, "-I", "-c", LATE]
    run = subprocess.run(
        command, check=False, capture_output=True, env={}, input=pickle.dumps(everything)
    )
    assert run.stdout == b"{}\n", run.stdout + run.stderr


@pytest.mark.parametrize("term", [b"cp037", b"nonsense", b"../../etc"])
def test_a_character_set_that_dicom_has_no_term_for_is_latin_1(
    pool: DecoderPool, term: bytes
) -> None:
    """Python has a codec cp037, but would have to open a file to find it."""
    whole = cases.native(RETINA, SpecificCharacterSet="ISO_IR 100", PatientID="PHANTÖM-7")
    decoded = pool.decode(whole.replace(b"ISO_IR 100", term.ljust(10)))
    assert decoded.content is not None
    assert decoded.content.patient_id == "PHANTÖM-7"
    assert decoded.reason is None


def test_a_decoder_process_has_the_filter_and_one_thread(pool: DecoderPool) -> None:
    pool.decode(b"nothing")
    (child,) = pool._children
    text = Path(f"/proc/{child._process.pid}/status").read_text(encoding="ascii")
    status = dict(line.split(":\t", 1) for line in text.splitlines())
    assert (status["Seccomp"], status["NoNewPrivs"], status["Threads"]) == ("2", "1", "1")
    assert child.confined


class RecordingLog:
    """Collects what the pool logs."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, dict[str, Any]]] = []

    def warning(self, event: str, **fields: Any) -> None:
        self.lines.append((event, fields))


def test_processes_without_a_filter_work_and_are_logged_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "python"
    program.write_text(
        f"#!{sys.executable} -I\nimport sys\nfrom fundusd.imaging import decoder_process, seccomp\n"
        "seccomp._MACHINES.clear()\ndecoder_process.main(sys.argv[-1:])\n"
    )
    program.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(program))
    log: Any = RecordingLog()
    with DecoderPool(2, PAD, SIDE, log=log) as pool:
        assert pool.decode(cases.encode(RETINA, "PNG")).reason is None
        (killed, *_) = pool._children
        killed.kill()
        reasons = [pool.decode(cases.encode(RETINA, "PNG")).reason for _ in range(3)]
        assert reasons.count(Reason.DECODER_CRASHED) == 1
        pool.decode(b"")
    assert [event for event, _ in log.lines] == ["decoder.unconfined", "decoder.replaced"]
    assert log.lines[0][1]["hint"]
    assert log.lines[1][1] == {"count": 1}

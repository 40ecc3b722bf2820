"""Every accepted layout of DICOM is decoded to the pixels that a second program makes of it.

DCMTK also writes most of these files. It has no JPEG 2000, for which OpenJPEG's own command is the
second reader.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pydicom.uid as syntax
import pytest
from PIL import Image
from pydicom.encaps import encapsulate_extended
from tests import imaging_cases as cases
from tests.dicom_cases import NATIVE, OP_16_BIT, read, refused

from fundusd.domain.clinical_terms import Reason

if TYPE_CHECKING:
    from fundusd.domain.decoding import Pixels

RETINA = cases.retina(161, 127)  # odd sides: padding, and incomplete blocks
EVEN = cases.retina(160, 128)

needs_dcmtk = pytest.mark.skipif(shutil.which("dcmj2pnm") is None, reason="DCMTK is not installed")
needs_openjpeg = pytest.mark.skipif(
    shutil.which("opj_decompress") is None, reason="OpenJPEG's commands are not installed"
)
Second = Callable[[bytes], "Pixels"]


def run(*command: str | Path) -> None:
    subprocess.run([str(word) for word in command], check=True, capture_output=True)


@pytest.fixture
def dcmtk(tmp_path: Path) -> Second:
    """Return a function that decodes with DCMTK to RGB with 8 bits."""

    def decode(data: bytes) -> Pixels:
        source, target = tmp_path / "source.dcm", tmp_path / "target.ppm"
        source.write_bytes(data)
        is_jpeg_ls = any(
            str(uid).encode() in data[:500]
            for uid in (syntax.JPEGLSLossless, syntax.JPEGLSNearLossless)
        )
        run("dcml2pnm" if is_jpeg_ls else "dcmj2pnm", source, target)
        with Image.open(target) as image:
            return np.asarray(image.convert("RGB"))

    return decode


@pytest.fixture
def reencode(tmp_path: Path) -> Callable[..., bytes]:
    """Return a function that has one of DCMTK's commands write a file again."""

    def encode(data: bytes, command: str) -> bytes:
        source, target = tmp_path / "plain.dcm", tmp_path / "written.dcm"
        source.write_bytes(data)
        run(*command.split(), source, target)
        return target.read_bytes()

    return encode


def assert_equal(pixels: Pixels, second: Pixels, most: int = 0, mean: float = 0.0) -> None:
    assert pixels.shape == second.shape
    assert len(np.unique(second)) > 30  # the second reader has seen a picture
    differences = np.abs(pixels.astype(int) - second)
    assert differences.max() <= most
    assert differences.mean() <= mean


def ycc(pixels: Pixels) -> Pixels:
    return np.asarray(Image.fromarray(pixels).convert("YCbCr"))


def deep(pixels: Pixels, bits: int) -> bytes:
    """Return a file of which every sample has `bits` bits, of which the lower ones vary too."""
    samples = np.rint(pixels * ((2**bits - 1) / 255)).astype(np.uint16)
    return cases.native(samples, BitsStored=bits, HighBit=bits - 1, SOPClassUID=OP_16_BIT)


@needs_dcmtk
@pytest.mark.parametrize("transfer_syntax", NATIVE, ids=lambda uid: uid.name)
@pytest.mark.parametrize("vr", ["OB", "OW"])
@pytest.mark.parametrize("planar", [0, 1])
@pytest.mark.parametrize("label", ["RGB", "YBR_FULL"])
def test_native_pixels(
    label: str, planar: int, vr: str, transfer_syntax: str, dcmtk: Second
) -> None:
    pixels = RETINA if label == "RGB" else ycc(RETINA)
    ds = cases.header(pixels, PhotometricInterpretation=label, PlanarConfiguration=planar)
    raw = (np.moveaxis(pixels, 2, 0) if planar else pixels).tobytes() + b"\0"
    if vr == "OW" and transfer_syntax == syntax.ExplicitVRBigEndian:
        raw = np.frombuffer(raw, np.uint16).byteswap().tobytes()
    ds.add_new("PixelData", vr, raw)
    file = cases.write(ds, transfer_syntax)
    if label == "RGB":
        assert_equal(read(file), dcmtk(file))
    else:  # DCMTK truncates where others round
        assert_equal(read(file), dcmtk(file), most=2, mean=0.6)


@needs_dcmtk
@pytest.mark.parametrize("transfer_syntax", NATIVE, ids=lambda uid: uid.name)
@pytest.mark.parametrize("bits", [8, 10, 12, 16])
def test_native_pixels_in_words(bits: int, transfer_syntax: str, dcmtk: Second) -> None:
    samples = np.rint(RETINA * ((2**bits - 1) / 255)).astype(np.uint16)
    changes = {"BitsStored": bits, "HighBit": bits - 1, "SOPClassUID": OP_16_BIT}
    file = cases.native(samples, transfer_syntax, **changes)
    assert_equal(read(file), dcmtk(file))


@needs_dcmtk
@pytest.mark.parametrize("transfer_syntax", NATIVE[:3], ids=lambda uid: uid.name)
@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("label", ["YBR_FULL", "YBR_FULL_422"])
def test_native_chroma(label: str, bits: int, transfer_syntax: str, dcmtk: Second) -> None:
    samples: npt.NDArray[Any] = ycc(EVEN)
    if bits == 16:
        samples = samples.astype(np.uint16) * 257
    ds = cases.header(samples, PhotometricInterpretation=label)
    if label == "YBR_FULL_422":
        pairs = samples.reshape(-1, 2, 3)
        samples = np.stack([pairs[:, 0, 0], pairs[:, 1, 0], pairs[:, 0, 1], pairs[:, 0, 2]], axis=1)
    big = transfer_syntax == syntax.ExplicitVRBigEndian
    raw = samples.astype(samples.dtype.newbyteorder(">" if big else "<")).tobytes()
    ds.add_new("PixelData", "OB" if bits == 8 else "OW", raw)
    file = cases.write(ds, transfer_syntax)
    assert_equal(read(file), dcmtk(file), most=2, mean=0.6)


def test_planes_of_halved_chroma_are_refused() -> None:
    """The standard has no such layout, and DCMTK refuses it."""
    ds = cases.header(EVEN, PhotometricInterpretation="YBR_FULL_422", PlanarConfiguration=1)
    ds.add_new("PixelData", "OB", bytes(EVEN.size * 2 // 3))
    assert refused(cases.write(ds, syntax.ExplicitVRLittleEndian)) is Reason.UNSUPPORTED_PIXELS


def palette_file(
    transfer_syntax: str, indices: str, entries: int, first: int, declared: int, table: str = ""
) -> bytes:
    """Return a file of palette colours whose table is used from end to end.

    `table` is "bytes", "words" or "padded bytes"; by default, it is as declared.
    """
    table = table or {8: "bytes", 16: "words"}[declared]
    levels = np.linspace(0, 255, entries)
    order = ">" if transfer_syntax == syntax.ExplicitVRBigEndian else "<"
    changes: dict[str, Any] = {"PhotometricInterpretation": "PALETTE COLOR"}
    changes["PlanarConfiguration"] = None
    for colour, values in (
        ("Red", levels),
        ("Green", 255 * (levels / 255) ** 2),
        ("Blue", 255 - levels),
    ):
        if table == "bytes":
            data = values.astype(np.uint8).tobytes() + b"\0" * (entries % 2)
            if order == ">":  # bytes lie in words
                data = np.frombuffer(data, np.uint16).byteswap().tobytes()
        elif table == "padded bytes":
            data = values.astype(np.uint8).astype(order + "u2").tobytes()
        else:
            data = (values * 257).astype(order + "u2").tobytes()
        name = f"{colour}PaletteColorLookupTable"
        changes[f"{name}Descriptor"] = [entries % 65536, first, declared]
        changes[f"{name}Data"] = data
    positions = RETINA[..., 0].astype(int) * (entries - 1) // 255 + first
    return cases.native(positions.astype(indices), transfer_syntax, **changes)


@needs_dcmtk
@pytest.mark.parametrize("transfer_syntax", NATIVE, ids=lambda uid: uid.name)
@pytest.mark.parametrize("table_bits", [8, 16])
@pytest.mark.parametrize(
    ("indices", "entries", "first"),
    [
        ("u1", 256, 0),
        ("u1", 255, 0),
        ("u1", 200, 7),
        ("u2", 256, 0),
        ("u2", 1000, 0),
        ("u2", 1001, 300),
        ("u2", 65536, 0),
    ],
)
def test_palettes(
    indices: str,
    entries: int,
    first: int,
    table_bits: int,
    transfer_syntax: str,
    dcmtk: Second,
) -> None:
    file = palette_file(transfer_syntax, indices, entries, first, table_bits)
    assert_equal(read(file), dcmtk(file))


@needs_dcmtk
@pytest.mark.parametrize("transfer_syntax", NATIVE, ids=lambda uid: uid.name)
def test_palettes_of_padded_bytes(transfer_syntax: str, dcmtk: Second) -> None:
    """The length of the table shows the padding (a note in PS3.3 C.7.6.3.1.5)."""
    file = palette_file(transfer_syntax, "u1", 256, 0, 8, "padded bytes")
    assert_equal(read(file), dcmtk(file))


@pytest.mark.parametrize("transfer_syntax", NATIVE, ids=lambda uid: uid.name)
@pytest.mark.parametrize("table", ["bytes", "padded bytes"])
def test_palettes_of_bytes_that_declare_16_bits(table: str, transfer_syntax: str) -> None:
    """Taken by their word they are black; libtiff reads such maps as bytes, too."""
    file = palette_file(transfer_syntax, "u1", 256, 0, 16, table)
    assert_equal(read(file), read(palette_file(transfer_syntax, "u1", 256, 0, 8)))


JPEG_8 = [
    *("+eb", "+ee", "+el", "+e1", "+pl"),
    *("+eb +s4", "+eb +s2", "+eb +cr", "+ee +cr", "+eb +cy", "+eb +ot", "+eb -ot", "+eb +fs 1"),
    *(f"+el +sv {selection}" for selection in range(1, 8)),
]


@needs_dcmtk
@pytest.mark.parametrize("options", JPEG_8)
def test_jpeg(options: str, dcmtk: Second, reencode: Callable[..., bytes]) -> None:
    file = reencode(cases.native(RETINA), f"dcmcjpeg {options}")
    assert_equal(read(file), dcmtk(file))


@needs_dcmtk
@pytest.mark.parametrize("bits", [12, 16])
@pytest.mark.parametrize("options", ["+e1", *(f"+el +sv {n}" for n in range(1, 8))])
def test_lossless_jpeg_of_more_bits(
    options: str, bits: int, dcmtk: Second, reencode: Callable[..., bytes]
) -> None:
    file = reencode(deep(RETINA, bits), f"dcmcjpeg {options}")
    assert_equal(read(file), dcmtk(file))


@needs_dcmtk
@pytest.mark.parametrize(
    ("options", "most"),
    [("+ee +cr", 1), ("+ee +s4", 1), ("+ee +s2", 3)],  # two programs round and interpolate
)
def test_jpeg_of_12_bits(
    options: str, most: int, dcmtk: Second, reencode: Callable[..., bytes]
) -> None:
    file = reencode(deep(RETINA, 12), f"dcmcjpeg {options}")
    assert_equal(read(file), dcmtk(file), most=most, mean=0.03)


@needs_dcmtk
@pytest.mark.parametrize("bits", [8, 12, 16])
@pytest.mark.parametrize("options", ["+el +il", "+el +is", "+el +in", "+en", "+en +md 4"])
def test_jpeg_ls(options: str, bits: int, dcmtk: Second, reencode: Callable[..., bytes]) -> None:
    plain = cases.native(RETINA) if bits == 8 else deep(RETINA, bits)
    file = reencode(plain, f"dcmcjpls {options}")
    if options == "+el +in" and bits > 8:  # DCMTK cannot read what it wrote
        assert_equal(read(file), read(plain))
    else:
        assert_equal(read(file), dcmtk(file))


@needs_dcmtk
@pytest.mark.parametrize("command", ["dcmcjpls +el", "dcmcjpeg +e1", "dcmcjpeg +ee"])
def test_a_codestream_of_12_bits_decides_where_samples_lie(
    command: str, reencode: Callable[..., bytes]
) -> None:
    """DCMTK believes the header; PS3.5 8.2 says that the codestream decides."""
    file = reencode(deep(RETINA, 12), command)
    interleaved, planes = b"\x28\0\x06\0US\x02\0\0\0", b"\x28\0\x06\0US\x02\0\x01\0"
    assert file.count(interleaved) == 1
    assert_equal(read(file.replace(interleaved, planes)), read(file))


@needs_dcmtk
@pytest.mark.parametrize("bits", [8, 12, 16])
@pytest.mark.parametrize("options", ["+ot", "-ot", "+fs 1"])
def test_rle(options: str, bits: int, dcmtk: Second, reencode: Callable[..., bytes]) -> None:
    plain = cases.native(RETINA) if bits == 8 else deep(RETINA, bits)
    file = reencode(plain, f"dcmcrle {options}")
    assert_equal(read(file), dcmtk(file))


@needs_dcmtk
@pytest.mark.parametrize("command", ["dcmcrle", "dcmcjpeg +e1", "dcmcjpls +el"])
@pytest.mark.parametrize(("indices", "entries"), [("u1", 256), ("u2", 1001)])
def test_palettes_in_lossless_codecs(
    indices: str, entries: int, command: str, dcmtk: Second, reencode: Callable[..., bytes]
) -> None:
    plain = palette_file(syntax.ExplicitVRLittleEndian, indices, entries, 0, 16)
    file = reencode(plain, command)
    assert_equal(read(file), dcmtk(file))


def test_palettes_in_a_lossy_codec_are_refused() -> None:
    grey = RETINA[..., 0]
    changes: dict[str, Any] = {"PhotometricInterpretation": "PALETTE COLOR"}
    for colour in ("Red", "Green", "Blue"):
        changes[f"{colour}PaletteColorLookupTableDescriptor"] = [256, 0, 8]
        changes[f"{colour}PaletteColorLookupTableData"] = bytes(range(256))
    file = cases.encapsulated(grey, cases.encode(grey, "JPEG"), syntax.JPEGBaseline8Bit, **changes)
    assert refused(file) is Reason.COLOUR_MISMATCH


@needs_dcmtk
@pytest.mark.parametrize("options", ["+te +g", "+ti +g", "+tb +g", "+td +g", "+ti -e", "+te +e"])
def test_group_lengths_and_sequences_of_either_length(
    options: str, dcmtk: Second, reencode: Callable[..., bytes]
) -> None:
    file = reencode(cases.native(RETINA), f"dcmconv {options}")
    assert_equal(read(file), dcmtk(file))
    assert_equal(read(file), RETINA)


@needs_dcmtk
def test_an_extended_offset_table(dcmtk: Second) -> None:
    frame = cases.encode(RETINA, "JPEG", quality=95, subsampling=0)
    value, offsets, lengths = encapsulate_extended([frame])
    ds = cases.header(RETINA, PhotometricInterpretation="YBR_FULL_422")
    ds.ExtendedOffsetTable, ds.ExtendedOffsetTableLengths = offsets, lengths
    ds.add_new("PixelData", "OB", value)
    ds["PixelData"].is_undefined_length = True
    file = cases.write(ds, syntax.JPEGBaseline8Bit)
    assert_equal(read(file), dcmtk(file))


def openjpeg(folder: Path, frame: bytes) -> npt.NDArray[Any]:
    """Decode a codestream with OpenJPEG's command, to RGB with its own number of bits."""
    source, target = folder / "frame.j2k", folder / "frame.ppm"
    source.write_bytes(frame)
    run("opj_decompress", "-i", source, "-o", target)
    magic, comment, size, greatest, raw = target.read_bytes().split(b"\n", 4)
    assert (magic, comment[:1]) == (b"P6", b"#")
    width, height = map(int, size.split())
    kind = np.dtype(np.uint8 if int(greatest) < 256 else ">u2")
    return np.frombuffer(raw, kind).reshape(height, width, 3)


@needs_openjpeg
@pytest.mark.parametrize("transformed", [0, 1])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"irreversible": True, "quality_layers": [8]},
        {"tile_size": (64, 64)},
        {"progression": "RPCL"},
        {"num_resolutions": 2, "codeblock_size": (16, 16)},
    ],
    ids=str,
)
@pytest.mark.parametrize("boxed", [False, True])
def test_jpeg_2000(boxed: bool, options: dict[str, Any], transformed: int, tmp_path: Path) -> None:
    encode = partial(cases.encode, RETINA, "JPEG2000", mct=transformed, **options)
    label = "YBR_ICT" if "irreversible" in options else "YBR_RCT"
    changes = {"PhotometricInterpretation": label if transformed else "RGB"}
    file = cases.encapsulated(RETINA, encode(no_jp2=not boxed), syntax.JPEG2000, **changes)
    assert_equal(read(file), openjpeg(tmp_path, encode(no_jp2=True)))


@needs_openjpeg
@pytest.mark.parametrize("bits", [10, 12, 16])
def test_jpeg_2000_of_more_bits(bits: int, tmp_path: Path) -> None:
    samples = np.rint(RETINA * ((2**bits - 1) / 255)).astype(np.uint16)
    raw = tmp_path / "raw.ppm"
    head = f"P6\n161 127\n{2**bits - 1}\n".encode()
    raw.write_bytes(head + samples.astype(">u2").tobytes())
    run("opj_compress", "-i", raw, "-o", tmp_path / "deep.j2k")
    frame = (tmp_path / "deep.j2k").read_bytes()
    changes = {"BitsStored": bits, "HighBit": bits - 1, "SOPClassUID": OP_16_BIT}
    file = cases.encapsulated(samples, frame, syntax.JPEG2000Lossless, **changes)
    second = (openjpeg(tmp_path, frame).astype(np.uint16) >> (bits - 8)).astype(np.uint8)
    assert_equal(read(file), second)

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from tests import imaging_cases as cases

from fundusd.domain.clinical_terms import Eye, EyeSource, Grade, Reason
from fundusd.domain.decoding import MediaType, Preprocessing
from fundusd.imaging import decode as decode_module
from fundusd.imaging.decode import decode
from fundusd.imaging.dicom import open_dicom
from fundusd.imaging.limits import Limits
from fundusd.imaging.phantoms import as_dicom, as_jpeg, not_a_retina, render
from fundusd.imaging.preprocessing import preprocess

DICOM = Path(__file__).parents[3] / "shared" / "data" / "dicom"
PAD = Preprocessing.PAD_SQUARE
LIMITS = Limits()
RETINA = cases.retina()


def reason(data: bytes, limits: Limits = LIMITS) -> Reason | None:
    return decode(data, PAD, 64, limits).reason


def test_a_capture_becomes_content_measures_and_pixels() -> None:
    decoded = decode(cases.encode(RETINA, "PNG"), PAD, 224, LIMITS)
    assert decoded.reason is None
    assert decoded.content is not None
    assert decoded.content.media_type is MediaType.PNG
    assert (decoded.content.width, decoded.content.height) == (512, 480)
    assert decoded.content.measures["red"] > decoded.content.measures["blue"]
    assert decoded.decode_ms > 0
    assert decoded.pixels is not None
    assert np.array_equal(decoded.pixels, preprocess(RETINA, PAD, 224))


def test_size_is_that_of_the_upright_picture() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    content = decode(
        cases.encode(cases.retina(640, 480), "JPEG", exif=exif), PAD, 64, LIMITS
    ).content
    assert content is not None
    assert (content.width, content.height) == (480, 640)
    assert content.warnings == ("turned",)


@pytest.mark.parametrize("raw", [False, True])
def test_a_phantom_is_the_same_capture_as_jpeg_and_as_dicom(*, raw: bool) -> None:
    pixels = render(Grade.MODERATE, Eye.LEFT, 5, 720, 540)
    as_photo = decode(as_jpeg(pixels), PAD, 64, LIMITS)
    as_object = decode(as_dicom(pixels, Eye.LEFT, "PHANTOM-5", seed=5, raw=raw), PAD, 64, LIMITS)
    assert as_photo.pixels is not None
    assert as_object.pixels is not None
    assert as_object.content is not None
    assert (as_object.content.eye, as_object.content.patient_id) == (Eye.LEFT, "PHANTOM-5")
    assert np.abs(as_photo.pixels.astype(int) - as_object.pixels).mean() < 1.5


def test_refusals_keep_what_is_known_of_the_capture() -> None:
    skin = decode(as_jpeg(not_a_retina(1, 640, 480)), PAD, 64, LIMITS)
    assert skin.reason is Reason.NOT_RETINA
    assert skin.pixels is None
    assert skin.content is not None
    assert skin.content.measures
    montage = decode(
        cases.native(RETINA, ImageType=["ORIGINAL", "PRIMARY", "MONTAGE"]), PAD, 64, LIMITS
    )
    assert montage.reason is Reason.MONTAGE
    assert montage.content is not None
    assert montage.content.eye is Eye.LEFT


def test_a_copy_that_has_no_content_yet_is_cut_off() -> None:
    assert decode(bytes(5000), PAD, 64, LIMITS).reason is Reason.TRUNCATED


@pytest.mark.parametrize("data", [b"", b"<html>", cases.encode(RETINA[:32, :32], "GIF")])
def test_what_is_no_capture_is_of_unknown_format(data: bytes) -> None:
    decoded = decode(data, PAD, 64, LIMITS)
    assert (decoded.reason, decoded.content) == (Reason.UNKNOWN_FORMAT, None)


def test_too_many_bytes_are_refused_unread() -> None:
    assert reason(cases.encode(RETINA, "PNG"), Limits(max_bytes=1000)) is Reason.TOO_MANY_BYTES


def test_the_memory_that_is_not_there_is_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    def exhausted(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr(decode_module, "preprocess", exhausted)
    assert reason(cases.encode(RETINA, "PNG")) is Reason.OUT_OF_MEMORY


def test_an_exception_nobody_foresaw_is_a_decode_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def surprised(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(decode_module, "preprocess", surprised)
    assert reason(cases.encode(RETINA, "PNG")) is Reason.DECODE_ERROR


def test_pixels_in_another_colour_space_than_labelled_are_a_colour_mismatch() -> None:
    ycc = np.asarray(Image.fromarray(RETINA).convert("YCbCr"))
    assert reason(cases.native(ycc)) is Reason.COLOUR_MISMATCH
    assert (
        reason(cases.native(RETINA, PhotometricInterpretation="YBR_FULL")) is Reason.COLOUR_MISMATCH
    )
    assert reason(cases.native(np.ascontiguousarray(RETINA[..., ::-1]))) is Reason.COLOUR_MISMATCH
    stripped = cases.without_markers(cases.encode(RETINA, "JPEG", quality=95, subsampling=0))
    file = cases.jpeg_dicom(RETINA, frame=stripped, PhotometricInterpretation="RGB")
    assert reason(file) is Reason.COLOUR_MISMATCH
    assert reason(cases.native(RETINA)) is None


WHOLE = [cases.encode(RETINA, "JPEG"), cases.native(cases.retina(64, 48)), cases.jpeg_dicom(RETINA)]


@given(st.sampled_from(WHOLE), st.data())
def test_no_damage_makes_it_raise(whole: bytes, data: st.DataObject) -> None:
    damaged = bytearray(whole)
    for _ in range(data.draw(st.integers(1, 4))):
        damaged[data.draw(st.integers(0, min(len(whole), 2000) - 1))] = data.draw(
            st.integers(0, 255)
        )
    decoded = decode(bytes(damaged), PAD, 32, LIMITS)
    assert (decoded.pixels is None) == (decoded.reason is not None)


IMAGE, PLAIN, NONE = EyeSource.IMAGE_LATERALITY, EyeSource.LATERALITY, EyeSource.NONE
# the op8 files with native and JPEG 2000 pixels are 512 pixels wide: their short side is too small
EXPECTED = {
    "encapsulated_pdf_P99.dcm": (Reason.WRONG_MODALITY, "U", NONE),
    "lat_none_P406.dcm": (Reason.LOW_CONTRAST, "U", NONE),
    "op8_explicitLE_P163_L.dcm": (Reason.SMALL, "L", IMAGE),
    "op8_explicitLE_YBRFULL_P163_L.dcm": (Reason.SMALL, "L", IMAGE),
    "op8_implicitLE_P163_R.dcm": (Reason.SMALL, "R", IMAGE),
    "op8_j2k_lossy_P406_L.dcm": (Reason.SMALL, "L", IMAGE),
    "op8_jpegbaseline_P99_L.dcm": (Reason.LOW_CONTRAST, "L", IMAGE),
    "op8_jpegbaseline_P99_R.dcm": (None, "R", IMAGE),
    "op8_jpegbaseline_fullres_P13_R.dcm": (None, "R", IMAGE),
    "op8_mono_FA_P679_L.dcm": (Reason.REDFREE_OR_FA, "L", IMAGE),
    "opt_multiframe5_P679_R.dcm": (Reason.WRONG_MODALITY, "R", IMAGE),
    "pid_unicode_slash_P509_L.dcm": (None, "L", IMAGE),
    "sc_jpegbaseline_P509_R.dcm": (Reason.MEDIA_OPACITY, "R", PLAIN),
}


@pytest.mark.skipif(not DICOM.is_dir(), reason="no ../shared/data here")
@pytest.mark.parametrize("name", EXPECTED)
def test_each_dicom_of_the_collection_comes_out_as_it_should(name: str) -> None:
    decoded = decode((DICOM / name).read_bytes(), PAD, 448, LIMITS)
    assert decoded.content is not None
    content = decoded.content
    assert (decoded.reason, content.eye, content.eye_source) == EXPECTED[name]
    assert (content.warnings == ("secondary_capture",)) == name.startswith("sc_")
    if decoded.reason in {None, Reason.SMALL}:
        assert content.measures["red"] > 1.1 * content.measures["blue"]
        assert content.patient_id is not None


@pytest.mark.skipif(not DICOM.is_dir(), reason="no ../shared/data here")
def test_the_same_pixels_in_another_colour_space_measure_the_same() -> None:
    rgb, ycc = (
        decode((DICOM / name).read_bytes(), PAD, 64, LIMITS).content
        for name in ("op8_explicitLE_P163_L.dcm", "op8_explicitLE_YBRFULL_P163_L.dcm")
    )
    assert rgb is not None
    assert ycc is not None
    for channel in ("red", "green", "blue"):
        assert rgb.measures[channel] == pytest.approx(ycc.measures[channel], abs=1.5)


CODECS = DICOM.parent / "hostile"


@pytest.mark.skipif(not CODECS.is_dir(), reason="no ../shared/data here")
def test_jpeg_ls_and_its_neighbours_give_the_same_picture() -> None:
    names = (
        "SC_rgb_jls_lossy_line",
        "SC_rgb_jls_lossy_sample",
        "SC_rgb_gdcm_KY",
        "SC_rgb_dcmtk_+eb+cr",
    )
    colours = []
    for name in names:
        image = open_dicom((CODECS / "dicom_pydicom" / f"{name}.dcm").read_bytes(), LIMITS)
        colours.append(image.load()[0].mean(axis=(0, 1)))
    assert np.ptp(colours, axis=0).max() < 1

from __future__ import annotations

from collections import Counter
from io import BytesIO

import numpy as np
import pydicom
import pytest
from PIL import Image

from fundusd.domain.clinical_terms import Eye, Grade
from fundusd.imaging import phantoms
from fundusd.imaging.phantoms import LesionKind

SMALL = (600, 450)
EYES = (Eye.RIGHT, Eye.LEFT)


def kinds(grade: Grade, seed: int) -> Counter[LesionKind]:
    return Counter(lesion.kind for lesion in phantoms.compose(grade, Eye.RIGHT, seed).lesions)


def disc_column(eye: Eye, seed: int) -> float:
    """Find the brightest column of a healthy eye, in widths: that is where the optic disc is."""
    green = phantoms.render(Grade.NO_DR, eye, seed, *SMALL)[..., 1].astype(float)
    return (
        float(np.argmax(green[::2].max(axis=0).astype(float) + green.mean(axis=0) / 255)) / SMALL[0]
    )


@pytest.mark.parametrize("grade", Grade)
def test_the_same_seed_gives_the_same_pixels(grade: Grade) -> None:
    once = phantoms.render(grade, Eye.LEFT, 5, *SMALL)
    assert np.array_equal(once, phantoms.render(grade, Eye.LEFT, 5, *SMALL))
    assert not np.array_equal(once, phantoms.render(grade, Eye.LEFT, 6, *SMALL))


def test_a_photograph_is_rgb_of_the_size_asked_for() -> None:
    pixels = phantoms.render(Grade.NO_DR, Eye.RIGHT, 1, 640, 400)
    assert pixels.shape == (400, 640, 3)
    assert pixels.dtype == np.uint8


@pytest.mark.parametrize("eye", EYES)
@pytest.mark.parametrize("size", [(1440, 1080), (900, 600), (800, 800)])
def test_a_photograph_passes_for_a_colour_retina(eye: Eye, size: tuple[int, int]) -> None:
    pixels = phantoms.render(Grade.SEVERE, eye, 8, *size)
    lit = pixels.sum(axis=2) > 40
    red, green, blue = pixels[lit].mean(axis=0)
    assert 0.35 < lit.mean() < 0.9
    assert red > green > blue
    assert pixels[0, 0].max() < 12
    assert pixels[-1, -1].max() < 12


def test_the_optic_disc_lies_nasally_in_both_eyes() -> None:
    for seed in range(3):
        assert disc_column(Eye.RIGHT, seed) > 0.55
        assert disc_column(Eye.LEFT, seed) < 0.45


def test_the_same_seed_is_the_same_eye_at_every_grade() -> None:
    healthy, ill = (phantoms.compose(grade, Eye.RIGHT, 4) for grade in (Grade.NO_DR, Grade.PDR))
    assert healthy.frame == ill.frame
    assert np.array_equal(healthy.anatomy.vessel_points(), ill.anatomy.vessel_points())


def test_the_lesions_lie_at_the_same_place_at_every_size() -> None:
    large, small = (
        phantoms.compose(Grade.SEVERE, Eye.RIGHT, 4, *size) for size in ((1440, 1080), SMALL)
    )
    assert large.lesions == small.lesions
    assert large.frame.cx / 1440 == pytest.approx(small.frame.cx / SMALL[0])


@pytest.mark.parametrize("seed", range(4))
def test_each_grade_has_the_lesions_that_define_it(seed: int) -> None:
    assert not kinds(Grade.NO_DR, seed)
    assert set(kinds(Grade.MILD, seed)) == {LesionKind.MICROANEURYSM}
    moderate = kinds(Grade.MODERATE, seed)
    assert moderate[LesionKind.HAEMORRHAGE] > 0
    assert moderate[LesionKind.EXUDATE] > 0
    assert not moderate.keys() & {
        LesionKind.BEAD,
        LesionKind.IRMA,
        LesionKind.NEW_VESSELS,
        LesionKind.PRERETINAL,
    }
    proliferative = kinds(Grade.PDR, seed)
    assert proliferative.keys() & {LesionKind.NEW_VESSELS, LesionKind.PRERETINAL}


@pytest.mark.parametrize("seed", range(4))
def test_a_severe_eye_fulfils_the_4_2_1_rule(seed: int) -> None:
    lesions = phantoms.compose(Grade.SEVERE, Eye.RIGHT, seed).lesions
    haemorrhages = Counter((x.x > 0, x.y > 0) for x in lesions if x.kind is LesionKind.HAEMORRHAGE)
    beaded = {(x.x > 0, x.y > 0) for x in lesions if x.kind is LesionKind.BEAD}
    assert len(haemorrhages) == 4
    assert min(haemorrhages.values()) > 20
    assert len(beaded) >= 2
    assert any(x.kind is LesionKind.IRMA for x in lesions)
    assert not any(x.kind in {LesionKind.NEW_VESSELS, LesionKind.PRERETINAL} for x in lesions)


def test_every_kind_of_lesion_changes_the_picture() -> None:
    seen = {
        x.kind for seed in range(8) for x in phantoms.compose(Grade.PDR, Eye.RIGHT, seed).lesions
    }
    assert seen == set(LesionKind)
    for seed in range(8):
        healthy, ill = (
            phantoms.render(g, Eye.RIGHT, seed, *SMALL) for g in (Grade.NO_DR, Grade.PDR)
        )
        assert (np.abs(healthy.astype(int) - ill).max(axis=2) > 60).mean() > 0.005


def test_a_jpeg_decodes_to_nearly_the_same_pixels() -> None:
    pixels = phantoms.render(Grade.MODERATE, Eye.RIGHT, 2, *SMALL)
    with Image.open(BytesIO(phantoms.as_jpeg(pixels))) as picture:
        assert picture.format == "JPEG"
        assert np.abs(np.asarray(picture).astype(int) - pixels).mean() < 2


@pytest.mark.parametrize("eye", EYES)
def test_a_raw_dicom_reads_back_exactly(eye: Eye) -> None:
    pixels = phantoms.render(Grade.MILD, eye, 2, 601, 451)  # an odd number of bytes
    dataset = pydicom.dcmread(
        BytesIO(phantoms.as_dicom(pixels, eye, "PHANTOM-1", seed=7, raw=True))
    )
    assert np.array_equal(dataset.pixel_array, pixels)
    assert dataset.PhotometricInterpretation == "RGB"
    assert dataset.ImageLaterality == eye.value
    assert (dataset.PatientID, dataset.IssuerOfPatientID) == ("PHANTOM-1", "PHANTOM")


def test_a_jpeg_baseline_dicom_reads_back_as_rgb() -> None:
    pixels = phantoms.render(Grade.PDR, Eye.LEFT, 2, *SMALL)
    dataset = pydicom.dcmread(BytesIO(phantoms.as_dicom(pixels, Eye.LEFT, "PHANTOM-1", seed=7)))
    assert dataset.file_meta.TransferSyntaxUID.name == "JPEG Baseline (Process 1)"
    assert dataset.SOPClassUID == "1.2.840.10008.5.1.4.1.1.77.1.5.1"
    assert (dataset.Modality, dataset.BurnedInAnnotation) == ("OP", "NO")
    assert dataset.PhotometricInterpretation == "YBR_FULL_422"
    assert np.abs(dataset.pixel_array.astype(int) - pixels).mean() < 2


def test_a_dicom_is_the_same_bytes_again_and_its_instances_differ_by_seed() -> None:
    pixels = phantoms.render(Grade.NO_DR, Eye.RIGHT, 2, 80, 60)
    once, again, other = (
        phantoms.as_dicom(pixels, Eye.RIGHT, "PHANTOM-1", seed=s) for s in (7, 7, 8)
    )
    first, second = (pydicom.dcmread(BytesIO(stored)) for stored in (once, other))
    assert once == again
    assert first.SOPInstanceUID != second.SOPInstanceUID
    assert first.StudyInstanceUID == second.StudyInstanceUID
    assert first.AcquisitionDateTime < second.AcquisitionDateTime


def test_what_is_no_retina_fills_the_frame() -> None:
    pixels = phantoms.not_a_retina(3, *SMALL)
    assert pixels.shape == (450, 600, 3)
    assert (pixels.sum(axis=2) > 40).mean() > 0.95
    assert np.array_equal(pixels, phantoms.not_a_retina(3, *SMALL))

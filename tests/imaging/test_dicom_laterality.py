from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom import config
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.tag import Tag
from tests import imaging_cases as cases

from fundusd.clinical.attribution import of_header, of_metadata, settle
from fundusd.clinical.path_rules import Naming
from fundusd.clinical.pseudonyms import Identifiers
from fundusd.domain.clinical_terms import Eye, EyeSource
from fundusd.imaging import dicom_header
from fundusd.imaging.dicom import open_dicom
from fundusd.imaging.dicom_laterality import laterality
from fundusd.imaging.limits import Limits

# pydicom warns of the invalid values that these tests plant
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")

R, L, U = Eye.RIGHT, Eye.LEFT, Eye.UNKNOWN
IMAGE, LATERALITY, FRAME = (
    EyeSource.IMAGE_LATERALITY,
    EyeSource.LATERALITY,
    EyeSource.FRAME_LATERALITY,
)
CONFLICT, NONE = EyeSource.CONFLICT, EyeSource.NONE
RETINA = cases.retina(160, 128)
LIMITS = Limits(max_pixels=50_000)
RECEIVED = datetime(2026, 6, 7, 10, 15, tzinfo=UTC)
VL_PHOTOGRAPHIC = "1.2.840.10008.5.1.4.1.1.77.1.4"


def header(**tags: object) -> Dataset:
    ds = Dataset()
    with config.disable_value_validation():
        for keyword, value in tags.items():
            setattr(ds, keyword, value)
    return ds


def eye(**tags: object) -> tuple[Eye, EyeSource, list[str]]:
    warnings: list[str] = []
    found_eye, source = laterality(header(**tags), warnings)
    return found_eye, source, warnings


def frame(side: str) -> Sequence:
    anatomy = header(FrameLaterality=side)
    return Sequence([header(FrameAnatomySequence=Sequence([anatomy]))])


def code(value: str, scheme: str = "SCT", meaning: str = "", **more: Any) -> Dataset:
    return header(
        CodeValue=value, CodingSchemeDesignator=scheme, CodeMeaning=meaning or value, **more
    )


def region(value: str, scheme: str = "SCT", meaning: str = "") -> dict[str, object]:
    return {"AnatomicRegionSequence": Sequence([code(value, scheme, meaning)])}


def modified(value: str, scheme: str = "SCT", meaning: str = "") -> dict[str, object]:
    """Describe an eye whose side is in the modifier."""
    modifiers = Sequence([code(value, scheme, meaning)])
    eye_code = code("81745001", "SCT", "Eye", AnatomicRegionModifierSequence=modifiers)
    return {"AnatomicRegionSequence": Sequence([eye_code])}


@pytest.mark.parametrize(
    ("tags", "expected"),
    [
        ({}, (U, NONE)),
        ({"ImageLaterality": "R"}, (R, IMAGE)),
        ({"ImageLaterality": " l "}, (L, IMAGE)),
        ({"ImageLaterality": "OD"}, (R, IMAGE)),
        ({"ImageLaterality": "os "}, (L, IMAGE)),
        ({"ImageLaterality": "Right"}, (R, IMAGE)),
        ({"Laterality": "LEFT"}, (L, LATERALITY)),
        ({"Laterality": "  od"}, (R, LATERALITY)),
        ({"Laterality": "L"}, (L, LATERALITY)),
        ({"ImageLaterality": "", "Laterality": "L"}, (L, LATERALITY)),
        ({"ImageLaterality": "  ", "Laterality": "L"}, (L, LATERALITY)),
        ({"ImageLaterality": "L", "Laterality": "OS"}, (L, IMAGE)),
        ({"ImageLaterality": "R", "Laterality": "L"}, (U, CONFLICT)),
        ({"ImageLaterality": "B", "Laterality": "R"}, (U, CONFLICT)),
        ({"ImageLaterality": ["R", "L"]}, (U, CONFLICT)),
        ({"ImageLaterality": ["R", ""]}, (R, IMAGE)),
        ({"SharedFunctionalGroupsSequence": frame("R")}, (R, FRAME)),
        ({"PerFrameFunctionalGroupsSequence": frame("OS")}, (L, FRAME)),
        (
            {"ImageLaterality": "R", "SharedFunctionalGroupsSequence": frame("L")},
            (U, CONFLICT),
        ),
    ],
)
def test_the_eye_is_read_from_the_first_tag_that_names_one(
    tags: dict[str, object], expected: tuple[Eye, EyeSource]
) -> None:
    assert eye(**tags) == (*expected, [])


@pytest.mark.parametrize("value", ["B", "OU", "both"])
def test_both_eyes_in_one_frame_are_none_and_warned_of(value: str) -> None:
    assert eye(ImageLaterality=value) == (U, IMAGE, ["eye_both"])


@pytest.mark.parametrize(
    "value",
    ["U", "X", "N/A", "RL", "O.D.", "unknown", "links", "R" * 300, ["R", "X"], "OD?", "0"],
)
@pytest.mark.parametrize("keyword", ["ImageLaterality", "Laterality"])
def test_any_other_value_is_unreadable(keyword: str, value: str | list[str]) -> None:
    source = {"ImageLaterality": IMAGE, "Laterality": LATERALITY}[keyword]
    assert eye(**{keyword: value}) == (U, source, ["eye_unreadable"])
    other = {"ImageLaterality": "Laterality", "Laterality": "ImageLaterality"}[keyword]
    assert eye(**{keyword: value, other: "R"})[::2] == (U, ["eye_unreadable"])


@pytest.mark.parametrize("value", ["U", "X", "R?", "B"])
@pytest.mark.parametrize("path", ["12_OD.jpg", "12_left.jpg", "IMG.jpg"])
def test_the_name_does_not_win_over_an_unreadable_value(value: str, path: str) -> None:
    site = Identifiers(b"0123456789abcdef")
    recorded = of_metadata(Naming().read(path), site)
    content = dicom_header.content(header(ImageLaterality=value, PatientID="17"))
    settled = settle(recorded, of_header(content, site), RECEIVED)
    assert settled.eye is U
    assert {"eye_unreadable", "eye_both"} & set(settled.warnings)


@pytest.mark.parametrize(
    ("tags", "expected"),
    [
        (modified("24028007", "SCT", "Right"), R),
        (modified("7771000", "SCT", "Left"), L),
        (modified("G-A100", "SRT", "Right"), R),
        (modified("G-A101", "SNM3", "Left"), L),
        (modified("G-A101", "99SDM", "Left"), L),
        (region("18944008", "SCT", "Right eye structure"), R),
        (region("8966001", "SCT", "Left eye structure"), L),
        (region("362502000", "SCT", "Entire right eye"), R),
        (region("362503005", "SCT", "Entire left eye"), L),
        (region("723298005", "SCT", "Structure of fundus of right eye"), R),
    ],
)
def test_the_side_of_the_anatomic_region_counts(tags: dict[str, object], expected: Eye) -> None:
    assert eye(**tags) == (expected, LATERALITY, [])
    other = {R: "L", L: "R"}[expected]
    assert eye(ImageLaterality=other, **tags) == (U, CONFLICT, [])
    assert eye(ImageLaterality=expected.value, **tags) == (expected, IMAGE, [])
    inside = header(FrameAnatomySequence=Sequence([header(**tags)]))
    assert eye(SharedFunctionalGroupsSequence=Sequence([inside])) == (expected, LATERALITY, [])


@pytest.mark.parametrize(
    "tags",
    [
        region("81745001", "SCT", "Eye"),
        region("T-AA000", "SRT", "Eye"),
        region("5665001", "SCT", "Retina"),
        modified("66459002", "SCT", "Unilateral"),
        modified("255561001", "SCT", "Medial"),
        modified("1", "99LOCAL", "left upper quadrant"),
        {"AnatomicRegionSequence": Sequence([])},
    ],
)
def test_a_region_without_a_side_says_nothing(tags: dict[str, object]) -> None:
    assert eye(**tags) == (U, NONE, [])
    assert eye(ImageLaterality="R", **tags) == (R, IMAGE, [])


def test_a_region_of_both_eyes_is_warned_of() -> None:
    assert eye(**region("T-AA180", "SRT", "Both eyes")) == (U, LATERALITY, ["eye_both"])
    assert eye(**modified("51440002", "SCT", "Right and left")) == (U, LATERALITY, ["eye_both"])


def test_a_code_whose_meaning_names_the_other_side_is_a_conflict() -> None:
    assert eye(**region("362502000", "SCT", "Left eye")) == (U, CONFLICT, [])
    assert eye(**modified("7771000", "SCT", "Right")) == (U, CONFLICT, [])


def test_a_private_code_can_only_contradict() -> None:
    private = region("EYE2", "99MAKER", "Left eye")
    assert eye(**private) == (U, NONE, ["eye_maybe_left"])
    site = Identifiers(b"0123456789abcdef")
    for side, path, expected in [
        (None, "12_OS.jpg", L), ("L", "IMG.jpg", L), ("R", "IMG.jpg", U), (None, "12_OD.jpg", U),
    ]:  # fmt: skip
        content = dicom_header.content(header(ImageLaterality=side, PatientID="17", **private))
        recorded = of_metadata(Naming().read(path), site)
        assert settle(recorded, of_header(content, site), RECEIVED).eye is expected


@pytest.mark.parametrize(
    "tags",
    [
        region("X1", "99ACME", "OD"),
        region("X1", "99ACME", "Oculus dexter"),
        region("X2", "99ACME", "Linkes Auge"),
        region("X2", "99ACME", "oeil gauche"),
        region("X3", "99ACME", "Both eyes"),
        region("8966001", "99ACME", "?"),  # the number of a left eye, in an unknown scheme
        modified("7771000", "SNOMED", "?"),
        modified("X4", "99ACME", "side 2"),
    ],
)
def test_an_unknown_code_that_may_name_a_side_is_unreadable(tags: dict[str, object]) -> None:
    side, source, warnings = eye(**tags)
    assert (side, source) == (U, LATERALITY)
    assert "eye_unreadable" in warnings


def test_an_unknown_code_with_another_meaning_says_nothing() -> None:
    for tags in (region("F", "99ACME", "Fundus"), modified("U", "99ACME", "Upper")):
        assert eye(**tags) == (U, NONE, [])


def test_a_modifier_in_snomed_that_is_not_of_a_side_says_nothing() -> None:
    assert eye(**modified("67046006", "SCT", "Fovea centralis")) == (U, NONE, [])


def test_an_unknown_code_can_contradict_another_tag() -> None:
    side, _, warnings = eye(ImageLaterality="R", **region("X2", "99ACME", "Linkes Auge"))
    assert (side, warnings) == (R, ["eye_maybe_left"])  # once it is settled, a conflict
    assert eye(ImageLaterality="R", **region("X1", "99ACME", "OD"))[0] is R


def test_a_photograph_may_have_its_eye_in_the_region_alone() -> None:
    changes: dict[str, Any] = {"SOPClassUID": VL_PHOTOGRAPHIC, "ImageLaterality": None}
    changes |= modified("G-A100", "SRT", "Right")
    file = cases.native(RETINA, **changes)
    content = open_dicom(file, LIMITS).content
    assert (content.eye, content.eye_source, content.warnings) == (R, LATERALITY, ())


sides = st.sampled_from(["R", "L", "B", "U", "OD", "OS", "left", "", " ", "X", None])
regions = st.sampled_from(
    [{}, modified("24028007"), modified("7771000"), region("18944008"), region("EYE", "99X")]
)
OPPOSITE = {"R": {"L", "OS", "left"}, "L": {"R", "OD"}}


@given(sides, sides, regions)
def test_an_eye_is_named_only_if_no_tag_says_anything_else(
    image: str | None, series: str | None, anatomy: dict[str, object]
) -> None:
    found_eye, source, warnings = eye(ImageLaterality=image, Laterality=series, **anatomy)
    given_sides = {(value or "").strip() for value in (image, series)} - {""}
    if found_eye is not U:
        assert not given_sides & {"B", "U", "X"}
        assert not given_sides & OPPOSITE[found_eye.value]
        assert warnings == []
    elif source in {IMAGE, LATERALITY}:
        assert len(warnings) == 1


@given(st.sampled_from(["CS", "UN", "OB", "SQ", "LO", "US"]), st.binary(max_size=300))
def test_bytes_that_are_no_word_name_no_eye(vr: str, value: bytes) -> None:
    ds = Dataset()
    tag = Tag("ImageLaterality")
    ds[tag] = RawDataElement(tag, vr, len(value), value, 0, False, True)
    found_eye, _ = laterality(ds, [])
    words = {word.upper() for word in value.split(b"\\")}
    printable = {bytes(byte for byte in word if 32 < byte < 127) for word in words}
    if found_eye is not U:
        assert printable & {b"R", b"L", b"OD", b"OS", b"RIGHT", b"LEFT"}

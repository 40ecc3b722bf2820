"""Which field of the retina a DICOM header names, by the codes of PS3.16."""

from __future__ import annotations

from typing import Any

import pytest
from pydicom import config
from pydicom.datadict import tag_for_keyword
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.sr.codedict import codes
from tests import dicom_cases
from tests import imaging_cases as cases

from fundusd.domain.exams import OTHER_FIELD
from fundusd.imaging.dicom_field import field_of_header

# pydicom warns of the invalid values that these tests plant
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")

RETINA = ("5665001", "SCT", "Retina")
FOVEA = ("67046006", "SCT", "Fovea centralis")
NERVE = ("81016008", "SCT", "Optic nerve head")
CENTRED_ON = {"111900": "macula", "410434001": "macula", "111901": "disc", "408734008": "disc"}

Code = tuple[str, str, str]


def code(value: str, scheme: str = "DCM", meaning: str = "", **more: Any) -> Dataset:
    ds = Dataset()
    ds.CodeValue, ds.CodingSchemeDesignator, ds.CodeMeaning = value, scheme, meaning or value
    for keyword, sequence in more.items():
        setattr(ds, keyword, sequence)
    return ds


def position(*chosen: Code) -> dict[str, Sequence]:
    return {"RelativeImagePositionCodeSequence": Sequence([code(*each) for each in chosen])}


def view(*chosen: Code) -> dict[str, Sequence]:
    return {"ViewCodeSequence": Sequence([code(*each) for each in chosen])}


def region(chosen: Code, *modifiers: Code) -> dict[str, Sequence]:
    more: dict[str, Any] = {}
    if modifiers:
        sequence = Sequence([code(*each) for each in modifiers])
        more["AnatomicRegionModifierSequence"] = sequence
    return {"AnatomicRegionSequence": Sequence([code(*chosen, **more)])}


def structure(*chosen: Code) -> dict[str, Sequence]:
    return {"PrimaryAnatomicStructureSequence": Sequence([code(*each) for each in chosen])}


def field(tags: dict[str, Any]) -> str | None:
    """Read the field from a DICOM file with these tags, as the decoder does."""
    with config.disable_value_validation():
        data = cases.native(dicom_cases.RETINA, **tags)
    return dicom_cases.opened(data).content.field


@pytest.mark.parametrize(
    ("tags", "expected"),
    [
        ({}, None),
        (position(("111900", "DCM", "Macula centered")), "macula"),
        (position(("111901", "DCM", "Disc centered")), "disc"),
        (position(("410434001", "SCT", "Diabetic Retinopathy Study field 2")), "macula"),
        (position(("R-1022A", "SRT", "Diabetic Retinopathy Study field 2")), "macula"),
        (position(("408734008", "SCT", "Diabetic Retinopathy Study field 1")), "disc"),
        (position(("R-10229", "SNM3", "Diabetic Retinopathy Study field 1")), "disc"),
        (view(("111900", "DCM", "Macula centered")), "macula"),
        (view(("111901", "DCM", "Disc centered")), "disc"),
        (region(RETINA), None),
        (region(FOVEA), "macula"),
        (region(NERVE), "disc"),
        (region(("T-AA630", "SRT", "Optic nerve head")), "disc"),
        (region(RETINA, ("24028007", "SCT", "Right")), None),
        (region(RETINA, NERVE), "disc"),
        (region(FOVEA, ("7771000", "SCT", "Left")), "macula"),
        (structure(NERVE), "disc"),
        (
            region(("81745001", "SCT", "Eye"), ("7771000", "SCT", "Left")) | structure(FOVEA),
            "macula",
        ),
        (region(NERVE) | position(("111901", "DCM", "Disc centered")), "disc"),
        # a code that is not known is read by its meaning
        (view(("MAC", "99CAMERA", "Macula Centered")), "macula"),
        (view(("D", "99CAMERA", "Optic disk")), "disc"),
        (region(("82859000", "SCT", "Structure of macula lutea")), "macula"),
        (view(("PP", "99CAMERA", "Posterior pole")), None),
    ],
)
def test_a2_the_field_is_read_from_position_view_and_region(
    tags: dict[str, Any], expected: str | None
) -> None:
    assert field(tags) == expected


@pytest.mark.parametrize(
    "tags",
    [
        position(("111903", "DCM", "Disc-macula centered")),
        position(("111902", "DCM", "Lesion centered")),
        position(("111621", "DCM", "Field 1 for Joslin3 field")),
        position(("410435000", "SCT", "Diabetic Retinopathy Study field 3")),
        position(("F9", "99CAMERA", "Field 9")),
        position(("111900", "DCM", "Macula centered"), ("111901", "DCM", "Disc centered")),
        position(("111900", "DCM", "Disc centered")),
        position(("111900", "DCM", "Macula centered")) | region(NERVE),
        view(("MD", "99CAMERA", "Macula and disc")),
        view(("F3", "99CAMERA", "Temporal to the macula")),
        view(("P", "99CAMERA", "Peripapillary, optic disc")),
        structure(FOVEA, NERVE),
        region(FOVEA) | structure(NERVE),
    ],
)
def test_a2_both_fields_or_another_one_is_neither(tags: dict[str, Any]) -> None:
    assert field(tags) == OTHER_FIELD


def test_a2_every_position_of_the_standard_is_known() -> None:
    positions = list(codes.cid4207.concepts.values())
    assert len(positions) >= 30
    for concept in positions:
        tags = position((concept.value, concept.scheme_designator, concept.meaning))
        assert field(tags) == CENTRED_ON.get(concept.value, OTHER_FIELD), concept


@pytest.mark.parametrize(("vr", "value"), [("LO", "x"), ("US", 7), ("SQ", []), ("SQ", [Dataset()])])
def test_a2_an_empty_or_damaged_sequence_names_no_field(vr: str, value: Any) -> None:
    ds = Dataset()
    for keyword in ("RelativeImagePositionCodeSequence", "ViewCodeSequence"):
        tag = tag_for_keyword(keyword)
        assert tag is not None
        ds.add_new(tag, vr, value)
    assert field_of_header(ds) is None

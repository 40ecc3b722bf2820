from __future__ import annotations

from typing import Any

import pydicom.uid as syntax
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom import config
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.tag import Tag
from tests import imaging_cases as cases

from fundusd.domain.capture_warnings import CaptureWarning
from fundusd.domain.clinical_terms import Eye, Reason
from fundusd.domain.decoding import MediaType
from fundusd.imaging import dicom_dates, dicom_header, dicom_values
from fundusd.imaging.dicom import open_dicom
from fundusd.imaging.limits import Limits

# pydicom warns of the invalid values that these tests plant
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")

RETINA = cases.retina(160, 128)
LIMITS = Limits(max_pixels=50_000)
SOP = "1.2.840.10008.5.1.4.1.1."


def refusal(**changes: Any) -> Reason | None:
    return open_dicom(cases.native(RETINA, **changes), LIMITS).reason


@pytest.mark.parametrize("sop_class", ["77.1.5.1", "77.1.5.2", "77.1.4"])
def test_photographs_are_accepted_without_a_warning(sop_class: str) -> None:
    opened = open_dicom(cases.native(RETINA, SOPClassUID=SOP + sop_class), LIMITS)
    assert opened.reason is None
    assert opened.content.warnings == ()


@pytest.mark.parametrize("sop_class", ["7", "7.4"])
def test_secondary_captures_are_accepted_with_a_warning(sop_class: str) -> None:
    opened = open_dicom(cases.native(RETINA, SOPClassUID=SOP + sop_class), LIMITS)
    assert opened.reason is None
    assert opened.content.warnings == ("secondary_capture",)


@pytest.mark.parametrize(
    "sop_class", ["77.1.5.4", "77.1.5.5", "77.1.5.6", "77.1.5.7", "104.1", "88.11", "2"]
)
def test_other_modalities_are_refused_with_what_the_header_says_of_them(sop_class: str) -> None:
    opened = open_dicom(cases.native(RETINA, SOPClassUID=SOP + sop_class), LIMITS)
    assert opened.reason is Reason.WRONG_MODALITY
    assert opened.content.eye is Eye.LEFT
    assert opened.content.patient_id == "PATIENT-7"
    assert (opened.content.width, opened.content.height) == (160, 128)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"NumberOfFrames": 5}, Reason.MULTIFRAME),
        ({"NumberOfFrames": 1}, None),
        ({"ImageType": ["ORIGINAL", "PRIMARY", "MONTAGE", "COLOR"]}, Reason.MONTAGE),
        ({"ImageType": ["ORIGINAL", "PRIMARY", "", "FA"]}, Reason.REDFREE_OR_FA),
        ({"ImageType": ["ORIGINAL", "PRIMARY", "", "ICG"]}, Reason.REDFREE_OR_FA),
        ({"ImageType": ["ORIGINAL", "PRIMARY", "", "RED-FREE"]}, Reason.REDFREE_OR_FA),
        ({"ImageType": ["ORIGINAL", "PRIMARY", "", "REDFREE"]}, Reason.REDFREE_OR_FA),
        ({"ImageType": ["ORIGINAL", "PRIMARY", "REDFREE"]}, Reason.REDFREE_OR_FA),
        ({"ImageType": ["DERIVED", "PRIMARY", "", "COLOR", "MONTAGE"]}, Reason.MONTAGE),
        ({"ImageType": ["ORIGINAL", "PRIMARY", "", "COLOR_MONTAGE"]}, Reason.MONTAGE),
        ({"ImageType": ["ORIGINAL", "PRIMARY", "COLOR MOSAIC"]}, Reason.MONTAGE),
        ({"ImageType": ["ORIGINAL", "PRIMARY", "", "COLOR REDFREE"]}, Reason.REDFREE_OR_FA),
        ({"ImageType": ["ORIGINAL", "PRIMARY", "", "RED FREE"]}, Reason.REDFREE_OR_FA),
        ({"ImageType": ["ORIGINAL", "PRIMARY", "", "RED_FREE"]}, Reason.REDFREE_OR_FA),
        ({"ImageType": ["ORIGINAL", "PRIMARY", "", "MONO RED-FREE"]}, Reason.REDFREE_OR_FA),
        ({"ImageType": ["ORIGINAL", "PRIMARY", "", "RED-FREE_1"]}, Reason.REDFREE_OR_FA),
        ({"ImageType": ["ORIGINAL", "PRIMARY", "", "LOW RED"]}, Reason.REDFREE_OR_FA),
        ({"ImageType": ["ORIGINAL", "PRIMARY", "", "INFRA-RED"]}, Reason.REDFREE_OR_FA),
        ({"ImageType": ["ORIGINAL", "PRIMARY", "", "AUTO FLUORESCENCE"]}, Reason.REDFREE_OR_FA),
        ({"ImageType": ["ORIGINAL", "PRIMARY", "", "FA_EARLY"]}, Reason.REDFREE_OR_FA),
        ({"ImageType": ["ORIGINAL", "PRIMARY", "", "COLOR_FUNDUS"]}, None),
        ({"ImageType": ["ORIGINAL", "PRIMARY", "", "COLORED"]}, None),
        ({"ImageType": ["ORIGINAL", "PRIMARY", "", "COLOR"]}, None),
        ({"ImageType": "ORIGINAL"}, None),
        ({"ImageType": None}, None),
        ({"PhotometricInterpretation": "MONOCHROME2"}, Reason.REDFREE_OR_FA),
        ({"PhotometricInterpretation": "MONOCHROME1"}, Reason.REDFREE_OR_FA),
        ({"PhotometricInterpretation": "YBR_PARTIAL_420"}, Reason.UNSUPPORTED_PHOTOMETRIC),
        ({"PhotometricInterpretation": None}, Reason.DECODE_ERROR),
        ({"Rows": None}, Reason.DECODE_ERROR),
        ({"Rows": 60_000, "Columns": 60_000}, Reason.TOO_MANY_PIXELS),
        ({"SamplesPerPixel": 4}, Reason.UNSUPPORTED_PIXELS),
        ({"BitsAllocated": 32}, Reason.UNSUPPORTED_PIXELS),
        ({"BitsStored": 7}, Reason.UNSUPPORTED_PIXELS),
        ({"HighBit": 15}, Reason.UNSUPPORTED_PIXELS),
        ({"PixelRepresentation": 1}, Reason.UNSUPPORTED_PIXELS),
        ({"PlanarConfiguration": 7}, Reason.UNSUPPORTED_PIXELS),
    ],
)
def test_a_header_suffices_to_refuse(changes: dict[str, object], reason: Reason | None) -> None:
    assert refusal(**changes) is reason


@pytest.mark.parametrize("transfer_syntax", [syntax.HTJ2K, syntax.MPEG2MPML])
def test_other_transfer_syntaxes_are_refused(transfer_syntax: str) -> None:
    file = cases.encapsulated(RETINA, b"\0\0", transfer_syntax)
    assert open_dicom(file, LIMITS).reason is Reason.UNSUPPORTED_TRANSFER_SYNTAX


def test_what_the_header_says_is_collected() -> None:
    content = open_dicom(cases.native(RETINA, BurnedInAnnotation="YES"), LIMITS).content
    assert content.media_type is MediaType.DICOM
    assert (content.patient_id, content.issuer) == ("PATIENT-7", "PHANTOMS")
    assert content.study_uid == "1.2.826.0.1.3680043.8.498.1"
    assert content.sop_uid == "1.2.826.0.1.3680043.8.498.2"
    assert content.acquired_at is not None
    assert content.acquired_at.isoformat() == "2026-01-05T10:15:00"
    assert content.warnings == ("burned_in_annotation",)


@pytest.mark.parametrize(
    ("value", "patient", "warnings"),
    [
        ("17", "17", ()),
        ("12.34.56", "12.34.56", ()),  # patient numbers may contain dots
        ("P12-34", "P12-34", ()),
        ("", None, ("patient_blank",)),
        ("   ", None, ("patient_blank",)),
        ("0000", None, ("patient_blank",)),
        ("ANONYMOUS", None, ("patient_blank",)),
        ("n/a", None, ("patient_blank",)),
        ("1.2.392.200106.1651.4.2.17", None, ("patient_is_uid",)),
        ("x" * 65, None, ("patient_unreadable",)),
        ("17\\18", None, ("patient_unreadable",)),
    ],
)
def test_a_patients_identifier_that_is_none_counts_as_not_given(
    value: str, patient: str | None, warnings: tuple[str, ...]
) -> None:
    ds = Dataset()
    with config.disable_value_validation():
        ds.PatientID = value
    content = dicom_header.content(ds)
    assert (content.patient_id, content.warnings) == (patient, warnings)


def test_a_header_without_a_patient_is_warned_of() -> None:
    assert dicom_header.content(Dataset()).warnings == ("patient_blank",)


@pytest.mark.parametrize(
    "uid",
    [
        "1.2.392.200106.1651.4.2.P12-34.20260105.1",  # some cameras put the patient id in the UID
        "1.2.392.200106.1651.04",
        "1.2.",
        "12",
        "1." * 32 + "1",
        "1.2\\1.3",
    ],
)
def test_a_uid_that_is_none_counts_as_not_given(uid: str) -> None:
    with config.disable_value_validation():
        ds = Dataset()
        ds.PatientID, ds.SOPInstanceUID, ds.StudyInstanceUID = "17", uid, uid
        content = dicom_header.content(ds)
    assert (content.sop_uid, content.study_uid, content.warnings) == (None, None, ("uid_invalid",))


def test_other_alphabets_survive_and_control_characters_do_not() -> None:
    ds = Dataset()
    ds.SpecificCharacterSet = "ISO_IR 192"
    ds.PatientID = "../../ÄÖ 山田\0\n"
    assert dicom_values.text(ds, "PatientID") == "../../ÄÖ 山田"


@pytest.mark.parametrize("value", ["", "   ", "x" * 257, None])
def test_blank_and_endless_texts_count_as_not_given(value: str | None) -> None:
    ds = Dataset()
    ds.StudyDescription = value
    assert dicom_values.text(ds, "StudyDescription") is None
    assert dicom_values.text(Dataset(), "StudyDescription") is None


@pytest.mark.parametrize(
    ("tags", "expected"),
    [
        ({"AcquisitionDateTime": "20260105101500.250000+0100"}, "2026-01-05T10:15:00.250000+01:00"),
        ({"AcquisitionDateTime": "202601051015"}, "2026-01-05T10:15:00"),
        ({"AcquisitionDateTime": "20260105101500-0000"}, "2026-01-05T10:15:00+00:00"),
        (
            {"AcquisitionDateTime": "20260105101500", "TimezoneOffsetFromUTC": "-0330"},
            "2026-01-05T10:15:00-03:30",
        ),
        (
            {"AcquisitionDate": "20260105", "AcquisitionTime": "101500.5"},
            "2026-01-05T10:15:00.500000",
        ),
        ({"AcquisitionDate": "2026.01.05", "AcquisitionTime": "10:15:07"}, "2026-01-05T10:15:07"),
        ({"ContentDate": "20260105", "ContentTime": "1015"}, "2026-01-05T10:15:00"),
        (
            {"ContentDate": "", "StudyDate": "20260104", "StudyTime": "235960"},
            "2026-01-04T23:59:59",
        ),
        # the time of another day
        ({"AcquisitionDate": "20260105", "StudyDate": "20260104", "StudyTime": "235959"}, None),
        (
            {"AcquisitionDateTime": "20261305101500", "StudyDate": "20260105", "StudyTime": "10"},
            None,
        ),
        ({"AcquisitionDateTime": "yesterday"}, None),
        ({"AcquisitionDateTime": "20260105101500+9900"}, "2026-01-05T10:15:00"),
        ({"StudyDate": "20260105"}, None),
        ({}, None),
    ],
)
def test_the_time_is_read_from_the_best_tags_there_are(
    tags: dict[str, str], expected: str | None
) -> None:
    acquired_at = dicom_dates.acquired_at(header_of(tags))
    assert (acquired_at and acquired_at.isoformat()) == expected


@pytest.mark.parametrize(
    ("tags", "expected"),
    [
        ({"StudyDate": "20190304"}, "2019-03-04"),
        ({"StudyDate": "2019.03.04", "StudyTime": ""}, "2019-03-04"),
        ({"AcquisitionDateTime": "20190304"}, "2019-03-04"),
        ({"AcquisitionDateTime": "2019", "ContentDate": "20190304"}, "2019-03-04"),
        ({"AcquisitionDateTime": "20190304101500", "StudyDate": "20190303"}, "2019-03-04"),
        ({"AcquisitionDate": "20190304", "ContentDate": "20260105"}, "2019-03-04"),
        ({"AcquisitionDate": "20191304", "StudyDate": "20190303"}, "2019-03-03"),
        ({"AcquisitionDate": "yesterday"}, None),
        ({}, None),
    ],
)
def test_a7_the_day_is_read_also_without_a_time(tags: dict[str, str], expected: str | None) -> None:
    acquired_day = dicom_dates.acquired_day(header_of(tags))
    assert (acquired_day and acquired_day.isoformat()) == expected


def header_of(tags: dict[str, str]) -> Dataset:
    ds = Dataset()
    for keyword, value in tags.items():
        tag = Tag(keyword)
        vr = "DT" if keyword == "AcquisitionDateTime" else "LO"
        ds[tag] = RawDataElement(tag, vr, len(value), value.encode(), 0, False, True)
    return ds


def qualifiers(**values: object) -> Sequence:
    item = Dataset()
    for keyword, value in values.items():
        setattr(item, keyword, value)
    return Sequence([item])


@pytest.mark.parametrize(
    ("namespace", "sequence", "issuer"),
    [
        ("CLINIC", None, "CLINIC"),
        ("CLINIC", Sequence([]), "CLINIC"),
        ("CLINIC", qualifiers(), "CLINIC"),
        (
            "CLINIC",
            qualifiers(UniversalEntityID="1.2.3", UniversalEntityIDType="ISO"),
            "CLINIC&1.2.3&ISO",
        ),
        (
            None,
            qualifiers(UniversalEntityID="1.2.3", UniversalEntityIDType="ISO"),
            "&1.2.3&ISO",
        ),
        ("CLINIC", qualifiers(IdentifierTypeCode="MR"), "CLINIC&&^MR"),
        (
            "CLINIC",
            qualifiers(AssigningFacilitySequence=qualifiers(LocalNamespaceEntityID="EAST")),
            "CLINIC&&^^EAST",
        ),
        (
            "CLINIC",
            qualifiers(
                AssigningJurisdictionCodeSequence=qualifiers(
                    CodeValue="CH", CodingSchemeDesignator="ISO3166_1"
                )
            ),
            "CLINIC&&^^CH&ISO3166_1",
        ),
        (None, None, None),
    ],
)
def test_the_qualifiers_are_part_of_the_issuer(
    namespace: str | None, sequence: Sequence | None, issuer: str | None
) -> None:
    ds = Dataset()
    if namespace:
        ds.IssuerOfPatientID = namespace
    if sequence is not None:
        ds.IssuerOfPatientIDQualifiersSequence = sequence
    assert dicom_header.content(ds).issuer == issuer


KEYWORDS = [
    *(
        "PatientID",
        "ImageType",
        "ImageLaterality",
        "Laterality",
        "AnatomicRegionSequence",
        "IssuerOfPatientIDQualifiersSequence",
        "Rows",
        "BitsStored",
        "NumberOfFrames",
        "SOPClassUID",
    ),
    *(
        "AcquisitionDateTime",
        "StudyDate",
        "StudyTime",
        "TimezoneOffsetFromUTC",
        "SpecificCharacterSet",
    ),
    *("SharedFunctionalGroupsSequence", "PhotometricInterpretation", "BurnedInAnnotation"),
]
VRS = [
    "AE",
    "CS",
    "DA",
    "DS",
    "DT",
    "FD",
    "IS",
    "LO",
    "OB",
    "PN",
    "SH",
    "SQ",
    "TM",
    "UI",
    "UN",
    "US",
    "ZZ",
]


@given(
    st.lists(
        st.tuples(st.sampled_from(KEYWORDS), st.sampled_from(VRS), st.binary(max_size=24)),
        max_size=6,
    )
)
def test_no_value_of_a_header_ever_raises(elements: list[tuple[str, str, bytes]]) -> None:
    ds = Dataset()
    for keyword, vr, value in elements:
        tag = Tag(keyword)
        ds[tag] = RawDataElement(tag, vr, len(value), value, 0, False, True)
    content = dicom_header.content(ds)
    assert content.media_type is MediaType.DICOM
    dicom_header.refusal(ds, LIMITS)


@pytest.mark.parametrize(
    ("ratio", "is_warned_of"), [([1, 1], False), ([4, 3], True), (["01", "1"], False)]
)
def test_pixels_that_are_not_square_are_warned_of(ratio: list[Any], is_warned_of: bool) -> None:
    content = dicom_header.content(cases.header(RETINA, PixelAspectRatio=ratio))
    assert (CaptureWarning.PIXELS_NOT_SQUARE in content.warnings) is is_warned_of


@pytest.mark.filterwarnings("ignore:(Invalid value|The value length)")
@pytest.mark.parametrize(
    ("value", "accession"),
    [("ACC-17", "ACC-17"), ("", None), ("seventeen letters", None), ("A\\B", None)],
)
def test_the_number_of_the_order_is_read_if_it_is_one(value: str, accession: str | None) -> None:
    content = open_dicom(cases.native(RETINA, AccessionNumber=value), LIMITS).content

    assert content.accession == accession

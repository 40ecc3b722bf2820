"""What is read from paths, and what must not be. All names are invented."""

from __future__ import annotations

import re
import time
from datetime import datetime
from datetime import time as time_of
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fundusd.clinical.attribution import CaptureMetadata
from fundusd.clinical.camera_conventions import CONVENTIONS, NAMES, ConventionName
from fundusd.clinical.path_patterns import compiled
from fundusd.clinical.path_rules import Naming
from fundusd.domain.clinical_terms import Eye, EyeSource

R, L, U = Eye.RIGHT, Eye.LEFT, Eye.UNKNOWN
NAME, CONFLICT, NONE = EyeSource.NAME, EyeSource.CONFLICT, EyeSource.NONE

NOTHING = (U, NONE, None)
UUID = "0f8fad5b-d9cb-469f-a165-70867728950e"
UID = "1.2.276.0.75.2.1.10.4711"
FOP = "S_Even_MRN12_05-01-2026/fop"


class Row(NamedTuple):
    """A path as a camera of this convention writes it, with the expected eye, source and patient.

    `number` is that of the camera, as in the evidence of conventions; 0: words seen elsewhere.
    """

    number: int
    convention: ConventionName
    path: str
    expected: tuple[Eye, EyeSource, str | None]


# by the number of the camera
EXPORTS = [
    # 1: folder and name hold the patient, the folder with a trailing _
    Row(1, "retcam-output", "S17_/S17_Retina_OD_20260607_101500.jpg", (R, NAME, "S17")),
    Row(1, "retcam-output", "S17_/S17_Retina_OS_20260607_101500.dcm", (L, NAME, "S17")),
    Row(1, "retcam-output", r"S17_\S17_Retina_OS_20260607_101500.jpg", (L, NAME, "S17")),
    Row(1, "retcam-output", "S17_Retina_OD_20260607_101500.jpg", (R, NAME, "S17")),
    Row(1, "retcam-output", "VAN_OS_/VAN_OS_Retina_OD_20260607_101500.jpg", (R, NAME, "VAN_OS")),
    Row(1, "retcam-output", "s17_/s17_retina_os_20260607_101500.jpg", (L, NAME, "s17")),
    Row(1, "retcam-output", "S17_/s17_retina_od_20260607_101500.jpg", (R, NAME, "S17")),
    Row(1, "retcam-output", "S18_/S17_Retina_OD_20260607_101500.jpg", (R, NAME, None)),
    Row(1, "retcam-output", "S17_/S17_Report_20260607.html", NOTHING),
    Row(1, "retcam-output", "S17_/S17_Report_OD_20260607.html", NOTHING),
    # 2: the eye is in the camera's own database
    Row(2, "retcam-output", f"S17/{UUID}.jpg", (U, NONE, "S17")),
    Row(2, "retcam-output", rf"S17\{UUID}.jpg", (U, NONE, "S17")),
    Row(2, "retcam-output", f"OS/{UUID}.jpg", (U, NONE, "OS")),
    # 3: folders are counted
    Row(3, "optomed-aurora", r"\DCIM\P0001\IM0002EY.JPG", NOTHING),
    Row(3, "optomed-aurora", "DCIM/P0001/IM0002EY.JPG", NOTHING),
    # 4: dots, blanks and a 12-hour clock in the name
    Row(4, "remidio-fop", f"{FOP}/MRN12_S_Even_05-01-2026_9.05.03.123_AM.jpg", (U, NONE, "MRN12")),
    Row(
        4,
        "remidio-fop",
        f"{FOP}/MRN12_Van Os_Even_05-01-2026_12.05.03.123_PM.jpg",
        (U, NONE, "MRN12"),
    ),
    Row(4, "remidio-fop", f"{FOP}/MRN12_OD_LEFT_05-01-2026_9.05.03.123_AM.jpg", (U, NONE, "MRN12")),
    Row(4, "remidio-fop", f"{FOP}/other.jpg", (U, NONE, "MRN12")),
    Row(4, "remidio-fop", f"{FOP}/MRN13_S_Even_05-01-2026_9.05.03.123_AM.jpg", NOTHING),
    Row(4, "remidio-fop", "S_Even_05-01-2026/fop/other.jpg", NOTHING),
    # 5: as 4, without fop
    Row(5, "remidio-pristine", "S_Even_MRN12_05-01-2026/IMG_0001.jpg", (U, NONE, "MRN12")),
    Row(5, "remidio-pristine", "S_Even_MRN12_05-01-2026/LEFT_12_OD.jpg", (U, NONE, "MRN12")),
    # 6: gazes, and a wrapper folder
    Row(6, "iitk-strabismus", "MRN12_20260105_1/MRN12_20260105_primary.jpg", (U, NONE, "12")),
    Row(
        6, "iitk-strabismus", "New folder/MRN12_20260105_1/MRN12_20260105_left.jpg", (U, NONE, "12")
    ),
    Row(6, "iitk-strabismus", "MRN13_20260105_1/MRN12_20260105_right.jpg", NOTHING),
    # 7: whatever the clinic chose; its `pattern` says so
    Row(7, "phelcom-eyer", "CLINIC/E12_20260105_Color_OD.jpg", NOTHING),
    # 8: a person's name, then the token before the UID
    Row(8, "zeiss-dicom", f"Odd_Seven_19500101_20260105_1015_SCLERA_OS_{UID}.dcm", (L, NAME, None)),
    Row(8, "zeiss-dicom", f"Odd_Seven_19500101_20260105_1015_MERGE_OD_{UID}.dcm", (R, NAME, None)),
    Row(8, "zeiss-dicom", f"OS_LEFT_19500101_20260105_1015_SCLERA_OD_{UID}.dcm", (R, NAME, None)),
    Row(8, "zeiss-dicom", f"Odd_S_19500101_20260105_101502_SCLERA_OS_{UID}.dcm", (L, NAME, None)),
    Row(8, "zeiss-dicom", f"Odd_S_19500101_20260105_1015_WIDE_FIELD_OD_{UID}.dcm", (R, NAME, None)),
    # 9: the patient hides in an invalid UID
    Row(9, "sop-uid", "1.2.392.200106.1651.4.2.P12-34.20260105.1.dcm", NOTHING),
    # 10
    Row(10, "heidelberg-e2e", "12_345_678.e2e", (U, NONE, "12")),
    # 11
    Row(11, "eyepacs", "13_left.jpeg", (L, NAME, "13")),
    Row(11, "eyepacs", "13_right.jpeg", (R, NAME, "13")),
    Row(11, "eyepacs", "train/13_RIGHT.JPEG", (R, NAME, "13")),
    # 12
    Row(
        12,
        "ai-readi",
        "optomed_aurora/0001/0001_optomed_mac_or_disk_centered_cfp.dcm",
        (U, NONE, "0001"),
    ),
    Row(12, "ai-readi", "icare_eidon/0001/0001_eidon_mosaic_cfp.dcm", (U, NONE, "0001")),
    Row(12, "ai-readi", "topcon_maestro2/any/0001_maestro2_3d_macula_cfp.dcm", (U, NONE, "0001")),
    Row(12, "ai-readi", "icare_eidon/0001/0001_eidon_mosaic_faf.dcm", (U, NONE, "0001")),
    Row(12, "ai-readi", f"1001_eidon_mosaic_cfp_l_{UID}.dcm", (L, NAME, "1001")),
    Row(
        12, "ai-readi", f"icare_eidon/1001/1001_eidon_uwf_nasal_cfp_r_{UID}.dcm", (R, NAME, "1001")
    ),
    Row(12, "ai-readi", f"1001_spectralis_onh_rc_hr_oct_l_{UID}.dcm", (L, NAME, "1001")),
    Row(12, "ai-readi", "icare_eidon/0002/0001_eidon_mosaic_cfp.dcm", NOTHING),
    # 13: names not seen; DICOM tells
    Row(13, "generic", f"{UID}.dcm", NOTHING),
    # words seen, below the table
    Row(0, "generic", "12_OD.jpg", (R, NAME, None)),
    Row(0, "generic", "12_OS.jpg", (L, NAME, None)),
    Row(0, "generic", "12_R.jpg", (R, NAME, None)),
    Row(0, "generic", "12_L.jpg", (L, NAME, None)),
    Row(0, "generic", "12 RE.jpg", (R, NAME, None)),
    Row(0, "generic", "12 LE.jpg", (L, NAME, None)),
    Row(0, "generic", "12-RIGHT.jpg", (R, NAME, None)),
    Row(0, "generic", "12-left.jpg", (L, NAME, None)),
]

SURE = {
    "4711-od.tif": R,
    "12_OD.jpg.dcm": R,
    "12_OS.DCM.JPEG": L,
    "12_OD": R,
    "ROSA_12_OD.jpg": R,
    "MOSES_OD_20260105.jpg": R,
    "SMITH_OD.jpg": R,
    "JAN_OS.jpg": L,
    "ROSA_OS_20260105_101500.jpg": L,
    "GODWIN_LE_12_OS.jpg": L,
    "Le_Odd_12_OS.jpg": L,
    "L_Odd_12_OD.jpg": R,
    "12_OD_macula.jpg": R,
    "OS_disc_12.jpg": L,
    r"C:\export\12_OD.jpg": R,
    "caf\\xe9_12_OS.jpg": L,
    "12_OD (1).jpg": R,
    "20260105.101500.LE.png": L,
    "Nguyễn_12_OS.jpg": L,
}
DOUBTFUL = [
    # names that contain letters of an eye
    *(
        "ROSA_1950.jpg",
        "MOSES-12.jpg",
        "GODWIN 1960.jpg",
        "OSMAN_12.jpg",
        "ODETTE_12.jpg",
        "LEOS_12.jpg",
    ),
    *(
        "BRIGHT_12.jpg",
        "WRIGHT_12.jpg",
        "CLEFT_12.jpg",
        "LEFTY_12.jpg",
        "Rosod12.jpg",
        "ODOS_12.jpg",
    ),
    # surnames and initials
    *(
        "Os_Jan_19500101.jpg",
        "Od_12.jpg",
        "OS_JAN_19500101.jpg",
        "12_OS_JAN.jpg",
        "VAN_OS_12.jpg",
        "van_os_12.jpg",
    ),
    *(
        "van Os, Jan 12.jpg",
        "EL_OD_12.jpg",
        "12_TRAN_LE.jpg",
        "Tran_LE.jpg",
        "LE_TRAN_12.jpg",
        "RE_12.jpg",
    ),
    *("L_12.jpg", "R_12.jpg", "12_r.jpg", "12_le.jpg", "12_Le.jpg", "P12R.jpg", "R.jpg", "LE.jpg"),
    # a surname between a first name and a number, or before a birthday; or an eye after a surname
    *(
        "JAN_OS_1950.jpg",
        "jan_os.jpg",
        "J_OS_19500101.jpg",
        "OD_JAN_1950.jpg",
        "OS_19500101.jpg",
        "OS_01011950.jpg",
    ),
    *(
        "1950_LE.jpg",
        "12_1950_RE.jpg",
        "JAN_OS_12.jpg",
        "smith_od_20260105.jpg",
        "os jan os 1950.jpg",
    ),
    # eyes in Portuguese, Spanish and French are words and surnames elsewhere
    *(
        "12_OE.jpg",
        "12_OI.jpg",
        "12_OG.jpg",
        "12_oe.jpg",
        "OE_12.jpg",
        "KENZABURO_OE_1935.jpg",
        "12 og 13.jpg",
    ),
    *("12_AO.jpg", "12_OIE.jpg", "12_IZQ.jpg", "12_OIOD.jpg"),
    # dates and numbers that look like eyes
    *("20260D05.jpg", "0D_12.jpg", "05_12.jpg", "2026OD0105.jpg", "OD20260105.jpg"),
    # look-alikes: Cyrillic O, the long s, an accent apart, a zero
    *(
        "12_\u041eD.jpg",
        "12_o\u017f.jpg",
        "12_LE\u0302.jpg",
        "12_OD\u0301.jpg",
        "12_0S.jpg",
    ),
    # bytes that are not UTF-8, on either side
    *("12_OD\\xc9.jpg", "12_\\xd4OD.jpg", "12_\\xffOS\\xff.jpg"),
    # both eyes, dotted, folders alone, nothing
    *(
        "12_B.jpg",
        "12_OU.jpg",
        "12_O.D..jpg",
        "OD/12.jpg",
        "OS\\12.jpg",
        "LEFT/R12.jpg",
        "",
        "/",
        ".jpg",
        "OD/",
    ),
    *("IM0002EY.JPG", "MRN12_20260105_primary.jpg", "OD" * 200 + ".jpg"),
]
CONTRADICTORY = [
    *(
        "12_OD_OS.jpg",
        "left_12_R.jpg",
        "OD_12_LE.png",
        "right-LEFT.dcm",
        "12_OD_LE.jpg",
        "VAN_OS_12_OD.jpg",
    ),
    *("Os_Jan_12_OD.jpg", "OS/12_OD.jpg", r"left\12_OD.jpg", "OD/OS/12_OD.jpg", "12_OD_OS.jpg.dcm"),
    *(
        "12_right_OS_2026.jpg",
        "od 12 os.jpg",
        "JAN_OS_1950_OD.jpg",
        "12_OD_OI.jpg",
        "OD_12_oe.jpg",
        "12_RIGHT_OG.jpg",
    ),
    *("OE_12_OD.jpg", "SMITH_OD_OS.jpg"),
]


def eye_source_and_patient(naming: Naming, path: str) -> tuple[Eye, EyeSource, str | None]:
    named = naming.read(path)
    return named.eye, named.eye_source, named.patient


@pytest.mark.parametrize(
    "row",
    EXPORTS,
    ids=[f"{row.number}-{row.convention}-{index}" for index, row in enumerate(EXPORTS)],
)
def test_each_convention_tells_what_its_camera_writes_and_no_more(row: Row) -> None:
    assert eye_source_and_patient(Naming.of(row.convention), row.path) == row.expected


def test_each_convention_has_an_example_and_its_evidence() -> None:
    assert {row.convention for row in EXPORTS} == set(NAMES) == set(CONVENTIONS)
    evidence = " ".join(convention.evidence for convention in CONVENTIONS.values())
    assert {int(number) for number in re.findall(r"\d+", evidence)} >= set(range(1, 13))
    assert {row.number for row in EXPORTS} == set(range(14))


def test_there_are_many_adversarial_names() -> None:
    assert len({*SURE, *DOUBTFUL, *CONTRADICTORY}) >= 80


@pytest.mark.parametrize(("path", "eye"), SURE.items())
def test_an_eye_is_read_where_it_is_sure(path: str, eye: Eye) -> None:
    assert eye_source_and_patient(Naming(), path) == (eye, NAME, None)


@pytest.mark.parametrize("path", DOUBTFUL)
def test_where_in_doubt_the_eye_is_unknown(path: str) -> None:
    assert eye_source_and_patient(Naming(), path) == NOTHING


@pytest.mark.parametrize("path", CONTRADICTORY)
def test_words_that_disagree_are_a_conflict(path: str) -> None:
    named = Naming().read(path)
    assert (named.eye, named.eye_source, named.warnings) == (U, CONFLICT, ("eye_conflict",))


@pytest.mark.parametrize("convention", sorted(set(NAMES) - {"generic"}))
@pytest.mark.parametrize("path", [*SURE, *CONTRADICTORY])
def test_a_path_that_its_convention_does_not_know_tells_nothing(
    convention: ConventionName, path: str
) -> None:
    assert eye_source_and_patient(Naming.of(convention), path) == NOTHING


def test_a_path_that_is_not_known_is_warned_of() -> None:
    assert Naming.of("eyepacs").read("12_OD.jpg") == CaptureMetadata(warnings=("name_unmatched",))
    assert Naming.of("eyepacs").read("12_left.jpg").warnings == ()
    assert Naming().read("IMG.jpg") == CaptureMetadata()


@pytest.mark.parametrize(
    ("path", "warnings"),
    [
        ("JAN_OS_1950.jpg", ("eye_maybe_left",)),
        ("smith_od.jpg", ("eye_maybe_right",)),
        ("OD_19500101.jpg", ("eye_maybe_right",)),
        ("JAN_VAN_OS_1950.jpg", ()),  # hardly an eye
        ("OS_JAN_1950.jpg", ()),
        ("12_TRAN_LE.jpg", ()),
        ("12_OE.jpg", ()),
    ],
)
def test_what_may_well_be_an_eye_is_kept_as_a_warning(path: str, warnings: tuple[str, ...]) -> None:
    assert Naming().read(path) == CaptureMetadata(warnings=warnings)


# -- an operator's own pattern

TEMPLATE = (
    r"(?P<patient>[^_]+)_(?P<person>[^_]+)_(?P<date>\d{8})-(?P<time>\d{6})"
    r"_(?P<eye>[A-Z]+)(?:_(?P<field>\w+))?"
)


@pytest.mark.parametrize(
    ("pattern", "path", "expected"),
    [
        (TEMPLATE, "12_OS JAN_20260105-101500_OD.jpg", (R, NAME, "12")),
        (TEMPLATE, "12_OSMAN_20260105-101500_LEFT_macula.jpg", (L, NAME, "12")),
        (TEMPLATE, "12_Jan_20260105-101500_B.jpg", (U, CONFLICT, "12")),
        (TEMPLATE, "12_Jan_20260105-101500_OU.jpg", (U, CONFLICT, "12")),
        (TEMPLATE, "12_Jan_20260105-101500_X.jpg", (U, NONE, "12")),
        (TEMPLATE, "12_OD.jpg", NOTHING),
        (r"(?P<eye>OD|OS)/[^/]+", "OD/12.jpg", (R, NAME, None)),
        (r"(?P<eye>OD|OS)/[^/]+", r"E:\OS\12.jpg", (L, NAME, None)),
        (r"(?P<eye>OD|OS)/[^/]+", "OD/12_OS.jpg", (U, CONFLICT, None)),
        (r"(?P<eye>OD|OS)/[^/]+", "OD/SMITH_OS.jpg", (U, CONFLICT, None)),
        (r"(?P<eye>OD|OS)/[^/]+", "OD/SMITH_OD.jpg", (R, NAME, None)),
        (
            r"(?P<patient>\d+)_(?P<eye>OD|OE)",
            "12_OE.jpg",
            (L, NAME, "12"),
        ),  # where the clinic says so
        (r"(?P<patient>\d+)_(?P<eye>OD|OI)", "12_OI.jpg", (L, NAME, "12")),
        (r"(?P<patient>\d+)_(?P<eye>[A-Za-z]+)", "12_og.jpg", (L, NAME, "12")),
        (r"(?P<patient>\d+)_(?P<eye>[A-Z]+)_.*", "12_OE_OD.jpg", (U, CONFLICT, "12")),
        (r"(?P<patient>[^/]+)/(?:fop/)?[^/]+", "P1/12_OS.jpg", (L, NAME, "P1")),
        (r"(?P<patient>[^/]+)/(?:fop/)?[^/]+", "P1/fop/12_OS.jpg", (L, NAME, "P1")),
        (
            r"(?P<patient>[^_]+)_.*",
            "OS_12_OD.jpg",
            (R, NAME, "OS"),
        ),  # letters of the patient's identifier are not an eye
        (r"(?P<patient>\d+)_.*", "12_OD_20260105.jpg", (R, NAME, "12")),
        (r".*(?P<eye>OD|OS).*", "ROSA_12.jpg", NOTHING),  # inside a word
        (r".*(?P<eye>OD|OS).*", "ODE\u0301TTE_12.jpg", NOTHING),
        (r".*_(?P<eye>OD|OS)_.*", "VAN_OS_12_OD_1.jpg", (U, CONFLICT, None)),
        (r"(?i)\d+_(?P<eye>OD|OS)", "12_o\u017f.jpg", NOTHING),
        (r"(?P<patient>.+)_(?P<eye>OD|OS)", "caf\\xe9_OD.jpg", (R, NAME, None)),
        (r"(?P<patient>.+)_(?P<eye>OD|OS)", "P\x1b1_OD.jpg", (R, NAME, None)),
        (r"(?P<patient>.+)_(?P<eye>OD|OS)", "9" * 65 + "_OD.jpg", (R, NAME, None)),
        (r"(?P<patient>.+)_(?P<eye>OD|OS)", "9" * 300 + "_OD.jpg", NOTHING),
    ],
)
def test_a_pattern_tells_what_it_names(
    pattern: str, path: str, expected: tuple[Eye, EyeSource, str | None]
) -> None:
    assert eye_source_and_patient(Naming.of("generic", pattern), path) == expected


def test_pattern_and_convention_must_agree() -> None:
    naming = Naming.of("eyepacs", r"(?P<patient>\d+)/\d+_\w+")
    assert eye_source_and_patient(naming, "13/13_left.jpeg") == (L, NAME, "13")
    assert eye_source_and_patient(naming, "14/13_left.jpeg") == (L, NAME, None)
    assert naming.read("14/13_left.jpeg").warnings == ("patient_conflict",)


def test_a_clinic_describes_its_own_template() -> None:
    naming = Naming.of("phelcom-eyer", r"(?P<patient>[^_/]+)_(?P<date>\d{8})_Color_(?P<eye>OD|OS)")
    assert eye_source_and_patient(naming, "CLINIC/E12_20260105_Color_OD.jpg") == (R, NAME, "E12")


@pytest.mark.parametrize(
    ("word", "field"),
    [
        ("macula", "macula"),
        ("Mac", "macula"),
        ("DISC", "disc"),
        ("disk", "disc"),
        ("nasal", None),
        ("OD", None),
    ],
)
def test_fields_have_one_word_each(word: str, field: str | None) -> None:
    assert Naming.of("generic", r"\d+_(?P<field>\w+)").read(f"12_{word}.jpg").field == field


@pytest.mark.parametrize(
    ("clock", "moment"), [("1015", time_of(10, 15)), ("101502", time_of(10, 15, 2))]
)
def test_zeiss_writes_a_time_with_or_without_seconds(clock: str, moment: time_of) -> None:
    named = Naming.of("zeiss-dicom").read(f"Odd_S_19500101_20260105_{clock}_MERGE_OD_{UID}.dcm")
    assert named.time == moment


def test_a_convention_may_tell_the_field() -> None:
    naming = Naming.of("ai-readi")
    assert naming.read("0001_maestro2_3d_macula_cfp.dcm").field == "macula"
    assert naming.read(f"0001_maestro2_3d_macula_cfp_r_{UID}.dcm").field == "macula"
    assert naming.read("0001_optomed_mac_or_disk_centered_cfp.dcm").field is None


@pytest.mark.parametrize(
    ("date", "clock", "acquired_at"),
    [
        ("20260105", "101502", datetime(2026, 1, 5, 10, 15, 2)),  # noqa: DTZ001  the camera's clock
        ("2026-01-05", "10.15", datetime(2026, 1, 5, 10, 15)),  # noqa: DTZ001
        ("5-1-2026", "1:15:02 PM", datetime(2026, 1, 5, 13, 15, 2)),  # noqa: DTZ001
        ("05.01.2026", "12.15.02.123_AM", datetime(2026, 1, 5, 0, 15, 2)),  # noqa: DTZ001
        ("05.01.2026", "12.15.02.123_PM", datetime(2026, 1, 5, 12, 15, 2)),  # noqa: DTZ001
        ("20261305", "101502", None),
        ("19500101", "101502", None),  # a birthday
        ("20260105", "13:15 PM", None),
        ("20260105", "256199", None),
        ("20260105", "late", None),
        ("yesterday", "101502", None),
    ],
)
def test_dates_and_times_are_read_or_left_alone(
    date: str, clock: str, acquired_at: datetime | None
) -> None:
    named = Naming.of("generic", r"(?P<date>[^_]+)_at_(?P<time>[^/]+)").read(
        f"{date}_at_{clock}.jpg"
    )
    assert named.acquired_at == acquired_at
    assert any(code in named.warnings for code in ("date_unreadable", "time_unreadable")) == (
        acquired_at is None
    )


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        (r"(", "not a regular expression"),
        (r"a{99999999999}(?P<eye>x)", "not a regular expression"),
        (r"\d+_OD", "named groups"),
        (r"(\d+)_(OD|OS)", "named groups"),
        (r"(?P<mrn>\d+)", "named groups"),
        (r"(?P<eye>(a+)+)", "must not repeat a group"),
        (r"(?:x|y){2,}(?P<eye>OD)", "must not repeat a group"),
        (r".*_.*_.*_.*_(?P<eye>OD|OS)", "unbounded repeats"),
        (r"\w+\w+\w{2,}(?P<patient>\w*)", "unbounded repeats"),
    ],
)
def test_a_pattern_that_is_of_no_use_or_dangerous_is_refused(pattern: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        compiled(pattern)


@pytest.mark.parametrize(
    "pattern",
    [
        r"[^_]+_[^_]+_[^_]+_[^_]+_(?P<eye>OD|OS)",
        r"\(\d+\)+(?P<eye>OD)",
        r"[)]+(?P<eye>OD)",
        TEMPLATE,
        r"(?P<eye>\w+)?",
    ],
)
def test_patterns_that_are_quick_are_not_refused(pattern: str) -> None:
    compiled(pattern)


@pytest.mark.parametrize(
    "path", ["_" * 254, "a_" * 127, "0" * 255, "9_" * 60 + "20260105", "a/" * 2000, "_" * 5000]
)
def test_no_path_keeps_a_pattern_busy(path: str) -> None:
    namings = [Naming.of(name) for name in NAMES] + [
        Naming.of("generic", pattern)
        for pattern in (TEMPLATE, r".*_.*_.*X(?P<eye>OD)", r"\w+_\w+_\w+X(?P<eye>OD)")
    ]
    began = time.thread_time()
    for naming in namings:
        naming.read(path)
    assert time.thread_time() - began < 2


# -- whatever the path

PATHS = st.text(st.sampled_from("ODSLREodslr_-/. \\x0129e\u0302\u017f\u00e9")) | st.text()
NAMINGS = [Naming.of(name) for name in NAMES] + [
    Naming.of("generic", pattern)
    for pattern in (
        TEMPLATE,
        r".*(?P<eye>OD|OS|L|R).*",
        r"(?P<patient>.*)/(?P<date>.*)",
        r"(?P<time>.*)_(?P<field>.*)",
    )
]


@given(PATHS)
def test_no_path_is_an_error(path: str) -> None:
    for naming in NAMINGS:
        named = naming.read(path)
        assert (named.eye is not U) == (named.eye_source is NAME)
        assert ("eye_conflict" in named.warnings) == (named.eye_source is CONFLICT)


@given(PATHS)
def test_an_eye_comes_from_a_whole_word_only(path: str) -> None:
    words = {word.upper() for word in re.split(r"[\W_]+", path) if word.isascii()}
    for naming in NAMINGS:
        eye = naming.read(path).eye
        assert (
            eye is U
            or words
            & {R: {"OD", "R", "RE", "RIGHT"}, L: {"OS", "L", "LE", "LEFT", "OE", "OI", "OG"}}[eye]
        )


@given(st.text(alphabet=st.characters(codec="utf-8", categories=["L"]), min_size=6, max_size=12))
def test_no_eye_is_ever_found_inside_a_word(word: str) -> None:
    for naming in NAMINGS:
        assert naming.read(f"12_{word}.jpg").eye is U

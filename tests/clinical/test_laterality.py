from __future__ import annotations

from time import process_time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fundusd.clinical.laterality import read_words
from fundusd.clinical.path_rules import Naming
from fundusd.clinical.path_tokens import parts_of
from fundusd.domain.clinical_terms import Eye, EyeSource

R, L, U = Eye.RIGHT, Eye.LEFT, Eye.UNKNOWN
NAME, CONFLICT, NONE = EyeSource.NAME, EyeSource.CONFLICT, EyeSource.NONE
GENERIC = Naming.of("generic")

SPOKEN = [
    ("S17/S17_Retina_OD_20260607_101500.jpg", R),
    ("S17/S17_Retina_OS_20260607_101500.dcm", L),
    ("13_left.jpeg", L),
    ("13_right.jpeg", R),
    ("vistel0_left_0.jpg", L),
    ("Phantom_Seven_19500101_20260105_1015_SCLERA_OS_1.2.276.0.75.2.1.dcm", L),
    ("op8_jpegbaseline_P99 R_2026_R.dcm", R),
    ("2026-01-05 RE.png", R),
    ("2026-01-05.LE.png", L),
    ("4711-od.tif", R),
]
SILENT = [
    "ROSA_1950_20260105.jpg",
    "MOSES-12.jpg",
    "GODWIN 1960.jpg",
    "ROSE_12.jpg",
    "Tran_LE.jpg",
    "Le_Tran_1970.jpg",
    "L_Phantom_12.jpg",
    "R12.jpg",
    "12_r.jpg",
    "12_le.jpg",
    "R_12.jpg",
    "brightleft12.jpg",
    "OD/12.jpg",
    "IM0002EY.JPG",
    "DCIM/P0001/IM0002EY.JPG",
    "0001_optomed_mac_or_disk_centered_cfp.dcm",
    "MRN12_20260105_primary.jpg",
    "",
]
CONTRADICTORY = ["12_OD_OS.jpg", "left_12_R.jpg", "OD_12_LE.png", "right-LEFT.dcm"]


def eye_from_name(path: str) -> tuple[Eye, EyeSource]:
    return read_words(parts_of(path)).eye()


@pytest.mark.parametrize(("path", "eye"), SPOKEN)
def test_a_whole_word_in_the_name_tells_the_eye(path: str, eye: Eye) -> None:
    assert eye_from_name(path) == (eye, NAME)


@pytest.mark.parametrize("path", SILENT)
def test_parts_of_words_and_bare_initials_tell_nothing(path: str) -> None:
    assert eye_from_name(path) == (U, NONE)


@pytest.mark.parametrize("path", CONTRADICTORY)
def test_words_that_disagree_are_a_conflict(path: str) -> None:
    assert eye_from_name(path) == (U, CONFLICT)


@given(st.text(alphabet=st.characters(codec="utf-8", categories=["L"]), min_size=6, max_size=12))
def test_no_eye_is_ever_found_inside_a_word(word: str) -> None:
    assert eye_from_name(f"{word}.jpg") == (U, NONE)


@given(st.text(max_size=40))
def test_an_eye_and_a_name_as_its_source_go_together(path: str) -> None:
    eye, source = eye_from_name(path)
    assert (eye is not U) == (source is NAME)


@pytest.mark.parametrize(
    "piece",
    [
        "左1",
        "左_",
        "R1_",
        "OD_",
        "R_",
        "(冲突",
        "(conflict",
        " - copy",
        "-",
        " ",
        "OS VAN ",
        "12 L ",
    ],
)
def test_the_longest_names_are_read_quickly(piece: str) -> None:
    """A name of 255 characters takes some milliseconds; where time grew with its square, 400."""
    path = (piece * 255)[:255]
    times = []
    for _ in range(3):
        begin = process_time()
        GENERIC.read(f"{path}/{path}.jpg")
        times.append(process_time() - begin)
    assert min(times) < 0.2

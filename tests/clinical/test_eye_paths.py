"""The eye that is read from several hundred paths, and what no change of a path may do to it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fundusd.clinical.camera_conventions import NAMES
from fundusd.clinical.copy_marks import without_copy_marks
from fundusd.clinical.eye_languages import LANGUAGES
from fundusd.clinical.eye_words import DIRECTIONS
from fundusd.clinical.path_rules import Naming
from fundusd.clinical.path_tokens import parts_of
from fundusd.domain.clinical_terms import Eye

HERE = Path(__file__).parent
GENERIC = Naming.of("generic")
OTHER = {Eye.RIGHT: Eye.LEFT, Eye.LEFT: Eye.RIGHT}
ESCAPE = re.compile(r"\\u([0-9a-f]{4})")


def is_copy(path: str) -> bool:
    name = parts_of(path)[-1]
    return without_copy_marks(name) != name


class Row(NamedTuple):
    """A path, the naming rules of its camera, and the eye that a careful person reads from it."""

    kind: str
    naming: Naming
    eye: Eye
    path: str


def unescaped(path: str) -> str:
    return ESCAPE.sub(lambda match: chr(int(match[1], 16)), path)


def generic_rows() -> list[Row]:
    rows = []
    kind = ""
    for line in (HERE / "eye_paths.txt").read_text(encoding="utf-8").splitlines():
        if line.startswith("## "):
            kind = line[3:].partition(":")[0]
        elif line and not line.startswith("#"):
            rows.append(Row(kind, GENERIC, Eye(line[0]), unescaped(line[2:])))
    return rows


def camera_rows() -> list[Row]:
    rows = []
    text = (HERE / "eye_paths_by_camera.txt").read_text(encoding="utf-8")
    for line in text.splitlines()[1:]:
        chosen, pattern, codes, eye, path = (cell.strip("-") for cell in line.split("\t"))
        (convention,) = (name for name in NAMES if name == chosen)
        languages = tuple(name for name in LANGUAGES if name in codes.split(","))
        naming = Naming.of(convention, pattern, languages)
        rows.append(Row(chosen, naming, Eye(eye), unescaped(path)))
    return rows


PATHS = generic_rows()
OF_CAMERAS = camera_rows()
SURE = [row for row in PATHS if row.eye is not Eye.UNKNOWN]


@pytest.mark.parametrize("row", PATHS, ids=[f"{row.kind}-{row.path}" for row in PATHS])
def test_the_eye_of_a_path_is_the_one_that_a_careful_person_reads(row: Row) -> None:
    assert row.naming.read(row.path).eye is row.eye


@pytest.mark.parametrize("row", OF_CAMERAS, ids=[f"{row.kind}-{row.path}" for row in OF_CAMERAS])
def test_conventions_patterns_and_languages_name_more_eyes(row: Row) -> None:
    assert row.naming.read(row.path).eye is row.eye


def test_the_list_has_enough_paths_of_each_kind() -> None:
    kinds = {row.kind for row in PATHS}
    assert len(kinds) == 20
    for kind in kinds:
        assert sum(row.kind == kind for row in PATHS) >= 13
    assert len({row.path for row in PATHS}) == len(PATHS) >= 450
    assert {language for row in OF_CAMERAS for language in row.naming.languages} == {
        *("de", "es", "fr", "hu", "it", "ja", "nl", "pt", "tr", "vi", "zh")
    }


# -- mirrored names


def full_width(word: str) -> str:
    return "".join(chr(ord(letter) + 0xFEE0) for letter in word)


SWAPPED = {"OD": "OS", "RIGHT": "LEFT", "Right": "Left", "right": "left", "RE": "LE", "R": "L"}
SWAPPED |= {"od": "os"}
for right, left in [("OD", "OS"), ("R", "L"), ("right", "left")]:
    SWAPPED[full_width(right)] = full_width(left)
SWAPPED |= {left: right for right, left in SWAPPED.items()}
WORD = "|".join(sorted(SWAPPED, key=len, reverse=True))
# a whole word, or a part of a word in camel case
SWAP = re.compile(rf"(?<![A-Za-z])(?:{WORD})(?![A-Za-z])|(?<![BW])right|left|Right|Left|RIGHT|LEFT"
                  r"|(?<=[a-z])O[DS](?![a-z])|O[DS](?=[A-Z][a-z]|macula|disc)")  # fmt: skip
MIRRORED = [row for row in SURE if row.kind != "native" and not is_copy(row.path)]


@pytest.mark.parametrize("row", MIRRORED, ids=[row.path for row in MIRRORED])
def test_a_name_with_right_and_left_exchanged_names_the_other_eye(row: Row) -> None:
    mirrored = SWAP.sub(lambda match: SWAPPED[match[0]], row.path)
    assert mirrored != row.path
    assert GENERIC.read(mirrored).eye is OTHER[row.eye]


# -- contradicting words

CONTRADICTING = {
    Eye.RIGHT: ("OS", "os", "LEFT", "left", "Left", "OU"),
    Eye.LEFT: ("OD", "od", "RIGHT", "right", "Right", "OU"),
}
CONTRADICTING_AT_THE_END = {
    Eye.RIGHT: ("links", "gauche", "izquierdo", "OI", "OE", "OG", "左眼", "sol", "SX", "L", "LE"),
    Eye.LEFT: ("rechts", "droite", "derecho", "右眼", "sağ", "DX", "R", "RE"),
}
CONTRADICTING_FOLDERS = {
    Eye.RIGHT: ("OS", "Left Eye", "P17_OS", "L", "links", "oeil gauche", "左", "12-L"),
    Eye.LEFT: ("OD", "Right Eye", "P17_OD", "R", "rechts", "ojo derecho", "右", "12-R"),
}
# what a program has added to a copy is ignored, even if it is an eye
ORIGINALS = [row for row in SURE if not is_copy(row.path)]
sure_rows = st.sampled_from(ORIGINALS)


@given(sure_rows, st.data())
def test_a_contradicting_word_anywhere_leaves_no_eye(row: Row, data: st.DataObject) -> None:
    folder, slash, name = row.path.rpartition("/")
    gaps = [match.start() for match in re.finditer(r"[_ ]+", name)]
    gap = data.draw(st.sampled_from([0, *gaps]))
    word = data.draw(st.sampled_from(CONTRADICTING[row.eye]))
    longer = f"{name[:gap]}_{word}_{name[gap:]}"
    assert GENERIC.read(f"{folder}{slash}{longer}").eye is Eye.UNKNOWN


@given(sure_rows, st.data())
def test_a_contradicting_word_at_the_end_leaves_no_eye(row: Row, data: st.DataObject) -> None:
    word = data.draw(st.sampled_from(CONTRADICTING_AT_THE_END[row.eye]))
    assert GENERIC.read(f"{row.path}_7_{word}").eye is Eye.UNKNOWN
    stem, _, extension = row.path.rpartition(".")
    assert GENERIC.read(f"{stem}_7_{word}.{extension}").eye is Eye.UNKNOWN


@given(sure_rows, st.data())
def test_a_contradicting_folder_leaves_no_eye(row: Row, data: st.DataObject) -> None:
    folder = data.draw(st.sampled_from(CONTRADICTING_FOLDERS[row.eye]))
    assert GENERIC.read(f"{folder}/{row.path}").eye is Eye.UNKNOWN
    assert GENERIC.read(f"2026\\{folder}\\{row.path}").eye is Eye.UNKNOWN


@pytest.mark.parametrize("eye", [Eye.RIGHT, Eye.LEFT])
def test_a_contradicting_folder_counts_under_conventions_and_patterns(eye: Eye) -> None:
    code, word = {Eye.RIGHT: ("OD", "right"), Eye.LEFT: ("OS", "left")}[eye]
    names = [
        (Naming.of("eyepacs"), f"13_{word}.jpeg"),
        (Naming.of("retcam-output"), f"S17_/S17_Retina_{code}_20260607_101500.jpg"),
        (Naming.of("zeiss-dicom"), f"Odd_S_19500101_20260105_1015_SCLERA_{code}_1.2.3.dcm"),
        (Naming.of("phelcom-eyer", r"(?P<patient>\d+)_(?P<eye>OD|OS)"), f"12_{code}.jpg"),
    ]
    for naming, path in names:
        assert naming.read(path).eye is eye
        for folder in CONTRADICTING_FOLDERS[eye]:
            named = naming.read(f"{folder}/{path}")
            assert (named.eye, named.warnings) == (Eye.UNKNOWN, ("eye_conflict",))
        for folder in CONTRADICTING_FOLDERS[OTHER[eye]]:
            assert naming.read(f"{folder}/{path}").eye is eye


# -- words of place

words_of_place = st.sampled_from(sorted(DIRECTIONS))
sides = st.sampled_from(["left", "right", "LEFT", "Right"])


@given(words_of_place, sides, st.integers(0, 9999), st.permutations([0, 1, 2]))
def test_left_and_right_near_a_word_of_place_are_no_eye(
    place: str, side: str, number: int, order: list[int]
) -> None:
    words = (place, side, str(number))
    name = "_".join(words[index] for index in order)
    assert GENERIC.read(f"{name}.jpg").eye is Eye.UNKNOWN
    assert GENERIC.read(f"{name.replace('_', ' ').upper()}.JPG").eye is Eye.UNKNOWN


# -- what is only doubtful


@pytest.mark.parametrize(
    ("path", "warnings"),
    [
        ("12_links.jpg", ("eye_maybe_left",)),
        ("12_右眼.jpg", ("eye_maybe_right",)),
        ("12_nothing left.jpg", ("eye_maybe_left",)),
        ("OS_1.1.1950.jpg", ("eye_maybe_left",)),
        ("Links_12.jpg", ()),  # also a surname, which must not contradict a header
        ("S12_gaze_right.jpg", ()),  # a gaze says nothing of the eye
        ("12_OI.jpg", ()),
        ("12_links_OD.jpg", ("eye_conflict",)),
        ("Right Eye/12_OS.jpg", ("eye_conflict",)),
    ],
)
def test_a_word_that_is_not_enough_is_warned_of(path: str, warnings: tuple[str, ...]) -> None:
    named = GENERIC.read(path)
    assert (named.eye, named.warnings) == (Eye.UNKNOWN, warnings)

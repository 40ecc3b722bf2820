from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import orjson
import pytest
from tests import ledger_cases as cases
from tests.ledger_cases import RIGHT_EYE

from fundusd.clinical.camera_orientation import Orientation
from fundusd.domain.clinical_terms import Eye, Reason

if TYPE_CHECKING:
    from fundusd.ledger import Ledger

LEFT_EYE = RIGHT_EYE | {"optic_disc_x": -0.55, "macula_x": 0.1}


def record(
    ledger: Ledger, measures: dict[str, float], count: int, eye: str = "OD", start: int = 0
) -> None:
    """Admit and grade captures whose names give an eye."""
    files = []
    for number in range(start, start + count):
        name = f"{number}_{eye}.jpg"
        files.append(cases.found(name, name))
    ledger.admit(*files)
    content = replace(cases.CONTENT_OF_JPEG, measures=measures)
    ledger.record([cases.finding(claim, content) for claim in ledger.claim(count)])


def warnings(ledger: Ledger) -> list[list[str]]:
    return [orjson.loads(row["warnings"]) for row in cases.captures(ledger)]


def test_a_swapped_eye_is_warned_of_and_stays_as_it_was_named(ledger: Ledger) -> None:
    record(ledger, RIGHT_EYE, 1, "OS")
    (row,) = cases.captures(ledger)
    assert (row["eye"], row["eye_source"]) == ("L", "name")
    assert orjson.loads(row["warnings"]) == ["eye_contradicted"]


def test_an_eye_that_the_disc_confirms_or_that_is_unknown_has_no_warning(ledger: Ledger) -> None:
    record(ledger, RIGHT_EYE, 1, "OD")
    record(ledger, LEFT_EYE, 1, "OS", start=1)
    record(ledger, LEFT_EYE, 1, "photo", start=2)
    assert warnings(ledger) == [[], [], []]
    assert [row["eye"] for row in cases.captures(ledger)] == ["R", "L", "U"]


def test_the_eye_of_a_header_is_contradicted_too(ledger: Ledger) -> None:
    claim = cases.take(ledger)
    content = replace(cases.CONTENT, eye=Eye.LEFT, measures=RIGHT_EYE)
    ledger.record([cases.finding(claim, content)])
    assert warnings(ledger) == [["eye_contradicted"]]


@pytest.mark.parametrize("reason", [Reason.BLUR, Reason.NOT_RETINA])
def test_a_capture_without_a_grade_neither_warns_nor_votes(ledger: Ledger, reason: Reason) -> None:
    claim = cases.take(ledger, "1_OS.jpg")
    content = replace(cases.CONTENT_OF_JPEG, measures=RIGHT_EYE)
    ledger.record([cases.refusal(claim, reason, content)])
    assert warnings(ledger) == [[]]
    assert ledger.orientations([cases.CAMERA])[cases.CAMERA].votes == 0


def test_a_copy_under_the_other_eye_is_warned_of_and_does_not_vote(ledger: Ledger) -> None:
    ledger.admit(cases.found("1_OD.jpg"))
    (claim,) = ledger.claim(1)
    ledger.record([cases.finding(claim, replace(cases.CONTENT_OF_JPEG, measures=RIGHT_EYE))])
    ledger.admit(cases.found("1_OS.jpg"))
    assert warnings(ledger) == [[], ["eye_contradicted"]]
    assert ledger.orientations([cases.CAMERA])[cases.CAMERA].votes == 1


def test_a_photograph_in_several_folders_votes_once(ledger: Ledger) -> None:
    names = [f"{folder}/1_OD.jpg" for folder in "abc"]
    ledger.admit(*[cases.found(name, "the same bytes") for name in names])
    content = replace(cases.CONTENT_OF_JPEG, measures=RIGHT_EYE)
    ledger.record([cases.finding(claim, content) for claim in ledger.claim(3)])
    assert len(warnings(ledger)) == len(names)
    assert ledger.orientations([cases.CAMERA])[cases.CAMERA].votes == 1


def test_swapped_eyes_that_were_put_right_are_not_held_against_the_next(ledger: Ledger) -> None:
    record(ledger, LEFT_EYE, 22, "OD")
    for start in range(22, 70, 4):
        record(ledger, RIGHT_EYE, 4, "OD", start=start)
    assert warnings(ledger) == [["eye_contradicted"]] * 22 + [[]] * 48
    learnt = ledger.orientations([cases.CAMERA])[cases.CAMERA]
    assert (learnt.former, learnt.orientation) == (None, Orientation.NORMAL)


def test_a_mirrored_camera_is_learnt_and_then_contradicts_the_other_side(ledger: Ledger) -> None:
    record(ledger, LEFT_EYE, 10, "OD")
    assert ledger.orientations([cases.CAMERA])[cases.CAMERA].orientation is Orientation.MIRRORED
    record(ledger, LEFT_EYE, 20, "OD", start=10)
    record(ledger, LEFT_EYE, 1, "OD", start=30)
    record(ledger, RIGHT_EYE, 1, "OD", start=31)
    assert warnings(ledger)[-3:] == [["eye_contradicted"], [], ["eye_contradicted"]]


def test_a_camera_that_was_turned_is_shown_within_a_hundred_captures(ledger: Ledger) -> None:
    record(ledger, RIGHT_EYE, 60, "OD")
    record(ledger, LEFT_EYE, 20, "OD", start=60)
    learnt = ledger.orientations([cases.CAMERA])[cases.CAMERA]
    assert (learnt.former, learnt.orientation) == (Orientation.NORMAL, Orientation.MIRRORED)
    (camera,) = ledger.status()["cameras"]
    assert camera["orientation"]["former"] == "normal"
    record(ledger, LEFT_EYE, 1, "OD", start=80)
    assert warnings(ledger)[-1] == ["eye_contradicted"]


def test_the_votes_of_one_camera_do_not_count_for_another(ledger: Ledger) -> None:
    ledger.register_camera("other")
    record(ledger, LEFT_EYE, 10, "OD")
    learnt = ledger.orientations([cases.CAMERA, "other"])
    assert learnt["other"].votes == 0
    assert ledger.orientations([]) == {}

"""What the worklist and `fundusd show` say of photographs about which reading cannot decide."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from tests import ledger_cases as cases
from tests.cli.test_show import CONTENT, OF_SWAPPED, Clinic, clinic, fundusd
from tests.cli.test_unknown_people import rows_of

from fundusd.cli.exams_of_rows import exams_of
from fundusd.cli.worklist_cells import cells_of
from fundusd.domain.clinical_terms import Eye, EyeSource, Reason
from fundusd.domain.decoding import Content
from fundusd.domain.readings import ExclusionReason
from fundusd.ledger import ViewQuery
from fundusd.ledger.corrections import Corrector
from fundusd.reports import capture_panel, panel

if TYPE_CHECKING:
    from collections.abc import Callable

    from fundusd.cli.output import Row

__all__ = ["clinic", "fundusd"]  # fixtures

NO_DR = (5.0, 0.0, 0.0, 0.0, 0.0)
RIGHT = replace(CONTENT, eye=Eye.RIGHT, eye_source=EyeSource.LATERALITY)
BY = ("--reader", "okafor")


def add(clinic: Clinic, name: str, word: str = "", content: Content = RIGHT) -> int:
    """Record a photograph without DR, and return its number."""
    ledger = clinic.ledger
    ledger.admit(replace(cases.found(name, word or name), camera_id="room1"))
    ledger.record([cases.finding(claim, content, NO_DR) for claim in ledger.claim(1)])
    return int(cases.captures(ledger)[-1]["id"])


@pytest.mark.parametrize(
    ("content", "step"),
    [
        (replace(RIGHT, eye=Eye.UNKNOWN, eye_source=EyeSource.NONE), "find out which eye"),
        (OF_SWAPPED, "find out which eye"),
        (replace(RIGHT, warnings=("not_a_patient",)), "find out whose"),
        (replace(RIGHT, patient_id=None, eye=Eye.UNKNOWN), "find out whose, find out which eye"),
    ],
    ids=["eye unknown", "eye contradicted", "patient uncertain", "nobody"],
)
def test_b29_the_worklist_says_what_reading_cannot_decide(
    fundusd: Callable[..., str], clinic: Clinic, content: Content, step: str
) -> None:
    add(clinic, "a_OS.jpg" if content is OF_SWAPPED else "1.jpg", content=content)
    text = fundusd("worklist")
    assert f" {step} 1 room1" in text
    assert "read 1 room1" not in text


def test_b29_a_referable_eye_is_read_although_it_is_not_certain_whose_it_is(
    fundusd: Callable[..., str], clinic: Clinic
) -> None:
    clinic.add("1.jpg", content=replace(RIGHT, warnings=("not_a_patient",)))
    assert " find out whose, read 1 room1" in fundusd("worklist")


def test_a_doubt_that_comes_while_the_worklist_is_read_does_not_end_it(clinic: Clinic) -> None:
    """The rows are from before it, and the exams from after it."""
    blurred = clinic.add("1.jpg", content=RIGHT, reason=Reason.BLUR)
    listed = clinic.ledger.ask(ViewQuery("v_worklist", ()))
    assert listed[0]["action"] == "retake"
    clinic.ledger.exclude(blurred, ExclusionReason.RETAKEN, Corrector("okafor", "nurse"))
    add(clinic, "2.jpg", content=replace(RIGHT, warnings=("not_a_patient",)))
    [cells] = cells_of(listed, exams_of(clinic.ledger, listed))
    assert cells["next"] == "find out whose, retake"


def test_v6_the_worklist_says_a_doubt_once(fundusd: Callable[..., str], clinic: Clinic) -> None:
    add(clinic, "a_OS.jpg", content=OF_SWAPPED)
    assert fundusd("worklist").count("The optic disc lies on the side of the other eye") == 1


def test_v19_the_worklist_and_show_repeat_no_warning_that_a_person_has_answered(
    fundusd: Callable[..., str], clinic: Clinic
) -> None:
    number = clinic.add("a_OS.jpg", content=OF_SWAPPED)
    for command in (["worklist"], ["show", number]):
        assert "he optic disc lies" in fundusd(*command)
    fundusd("correct", "eye", number, "L", *BY)
    for command in (["worklist"], ["show", number]):
        assert "he optic disc lies" not in fundusd(*command)
    fundusd("review", "record", "1", "L", "agree", *BY)
    assert "Have a human reader look at it" not in fundusd("show", number)


def test_b30_a_photograph_in_doubt_or_excluded_is_not_said_to_be_negative(
    fundusd: Callable[..., str], clinic: Clinic
) -> None:
    number = add(clinic, "1.jpg")
    assert "verdict The model suggests: not referable. No DR" in fundusd("show", number)
    fundusd("correct", "exclude", number, "--reason", "retaken", *BY)
    text = fundusd("show", number)
    assert "verdict Excluded by a person." in text
    doubtful = add(clinic, "2.jpg", content=replace(RIGHT, warnings=("patient_conflict",)))
    doubted = fundusd("show", doubtful)
    assert "verdict In doubt." in doubted
    assert f"Find out whose photograph capture {doubtful} is" in doubted
    for shown in (text, doubted):
        assert "ot referable" not in shown
        assert "Good enough" not in shown
        assert "scores of the grades" not in shown


def test_b30_a_photograph_that_counts_nowhere_has_no_verdict(
    fundusd: Callable[..., str], clinic: Clinic
) -> None:
    add(clinic, "1_OD.jpg")
    found = replace(cases.found("1_x_OD.jpg", "1_OD.jpg"), camera_id="room1")
    clinic.ledger.admit(replace(found, stat=cases.found("1_OD.jpg").stat))
    cases.execute(clinic.ledger, "UPDATE capture SET superseded = true, moved_to = 2 WHERE id = 1")
    shown = fundusd("show", 1)
    assert "verdict Moved to another place." in shown
    assert "The file was moved, and is capture 2 now." in shown
    assert "moved since" in shown
    for wrong in ("superseded by a newer file", "Replaced by another file", "taken its place"):
        assert wrong not in shown


def test_b30_a_photograph_whose_file_was_replaced_is_said_to_be_superseded(
    fundusd: Callable[..., str], clinic: Clinic
) -> None:
    add(clinic, "1_OD.jpg", "first")
    add(clinic, "1_OD.jpg", "second")
    assert "superseded by a newer file" in fundusd("show", 1)
    assert "superseded by a newer file" not in fundusd("show", 2)


def test_b30_a_replaced_photograph_that_counts_nowhere_has_no_verdict(clinic: Clinic) -> None:
    add(clinic, "1_OD.jpg")
    exam = clinic.ledger.exam(1)
    graded = {"outcome": "graded", "reason": None, "referable": "no"}
    row = row_of(capture_id=9, exam_id=1, superseded=True, **graded)
    shown = capture_panel.of_capture(row, exam, panel.NOT_SHOWN)
    assert shown.verdict == "Replaced by another file"
    assert shown.steps[0] == "Nothing about this file: another one has taken its place."
    assert "superseded by a newer file" in shown.source


def test_u20_nothing_is_to_be_done_about_a_file_that_another_one_replaced() -> None:
    row = row_of(outcome="failed", reason="file_changed", action="contact_it", superseded=True)
    shown = capture_panel.of_capture(row, None, panel.NOT_SHOWN)
    assert not any("Contact IT" in step for step in shown.steps)


def row_of(**values: Any) -> Row:
    row: dict[str, Any] = {
        "capture_id": 1,
        "camera_id": "room1",
        "eye": "L",
        "eye_source": "path",
        "exam_id": None,
        "field": None,
        "excluded": None,
        "grade": None,
        "moved_to": None,
        "referable": "indeterminate",
        "state": "failed",
        "warnings": None,
    }
    return row | values


@pytest.mark.parametrize("words", [[], ["--json"], ["--csv"]])
def test_c19_a_limit_that_hides_rows_says_so(
    fundusd: Callable[..., str], clinic: Clinic, words: list[str]
) -> None:
    for name in ("1.jpg", "2.jpg"):
        clinic.add(name, name.encode(), replace(RIGHT, patient_id=f"P{name}"))
    assert "The 1 most urgent are shown" in fundusd("worklist", "--limit", "1", *words)
    assert "most urgent are shown" not in fundusd("worklist", "--limit", "2", *words)
    assert "The oldest 1 of 2 exams are shown" in fundusd(
        "worklist", "--missing", "--limit", "1", *words
    )


def test_a_limit_also_holds_for_the_list_below_the_worklist(
    fundusd: Callable[..., str], clinic: Clinic
) -> None:
    for name in ("1.jpg", "2.jpg"):
        clinic.add(name, name.encode(), replace(RIGHT, patient_id=f"P{name}"))
    below = fundusd("worklist", "--limit", "1").partition("Photographs are missing:")[2]
    assert ("P1.jpg" in below) + ("P2.jpg" in below) == 1
    assert "The oldest 1 of 2 exams are shown; --missing shows all." in below
    below = fundusd("worklist", "--limit", "2").partition("Photographs are missing:")[2]
    assert ("P1.jpg" in below) + ("P2.jpg" in below) == 2
    assert "exams are shown" not in below


def test_c19_the_two_lists_are_not_mixed_up(fundusd: Callable[..., str], clinic: Clinic) -> None:
    clinic.add("1.jpg", content=RIGHT)
    printed = fundusd("worklist", "--json")
    assert len(rows_of(printed)) == 1
    assert "Photographs of 1 exams are missing; --missing shows them." in printed
    refused = fundusd("worklist", "--missing", "--for", "referable", code=2)
    assert "--missing and --for cannot be used together" in refused


def test_u33_a_reader_s_maculopathy_stands_in_the_headline_and_beside_the_grade(
    fundusd: Callable[..., str], clinic: Clinic
) -> None:
    add(clinic, "1.jpg")
    verdict = ("override", "--grade", "0", "--reason", "other", "--maculopathy", "M1")
    fundusd("review", "record", "1", "R", *verdict, *BY)
    text = fundusd("report", "exam", "1")
    assert "Result Referable diabetic retinopathy with maculopathy M1" in text
    assert "verdict Referable. No DR (ICDR grade 0), maculopathy M1" in text


def test_v15_the_capture_of_another_exam_is_named_as_such(
    fundusd: Callable[..., str], clinic: Clinic
) -> None:
    add(clinic, "1.jpg")
    other = add(clinic, "2.jpg", content=replace(RIGHT, patient_id="PATIENT-8"))
    words = ("review", "record", "1", "R", "agree", "--capture", other)
    assert f"Capture {other} is not a photograph of exam 1, eye R." in fundusd(*words, *BY, code=2)


def test_v17_a_person_may_say_that_an_eye_is_not_known(
    fundusd: Callable[..., str], clinic: Clinic
) -> None:
    number = add(clinic, "1.jpg")
    fundusd("correct", "eye", number, "U", *BY)
    text = fundusd("report", "exam", "1")
    assert f"Find out which eye capture {number} shows: a person has said that it is not" in text
    assert "A person has said that its eye is not known." in text


def test_v22_one_picture_under_the_names_of_both_eyes_is_said_to_be_one(
    fundusd: Callable[..., str], clinic: Clinic
) -> None:
    left = replace(RIGHT, eye=Eye.LEFT)
    numbers = [add(clinic, "1_OD.jpg", "same"), add(clinic, "1_OS.jpg", "same", left)]
    text = fundusd("report", "exam", "1")
    named = " or ".join(f"capture {number}" for number in numbers)
    assert f"Find out which eye {named} shows: the same picture has the names of" in text
    shown = fundusd("show", numbers[0])
    assert "Eye not known" in shown
    assert "verdict In doubt." in shown
    assert "Good enough" not in shown
    assert "next Photograph the left eye, unless it is the eye that is not known." in text


@pytest.mark.parametrize(("confirmed", "part"), [("none", "contains only"), ("all", '= "all"')])
def test_v20_the_report_of_agreement_knows_which_negatives_are_read(
    fundusd: Callable[..., str], clinic: Clinic, confirmed: str, part: str
) -> None:
    text = clinic.place.path.read_text()
    clinic.place.path.write_text(f'{text}\n[reading]\nconfirm_negatives = "{confirmed}"\n')
    assert part in fundusd("report", "agreement")


def test_v5_the_help_of_join_says_what_becomes_of_readings(fundusd: Callable[..., str]) -> None:
    assert "Its readings follow their photographs" in fundusd("correct", "join", "--help")


def test_c19_an_argument_that_is_no_text_is_a_mistake_of_the_operator(
    fundusd: Callable[..., str], clinic: Clinic
) -> None:
    for words in (("person", "\udc80"), ("worklist", "--camera", "\udc80")):
        refused = fundusd(*words, code=2)
        assert "defect" not in refused


def test_v19_results_mark_no_capture_whose_warning_a_person_has_answered(
    fundusd: Callable[..., str], clinic: Clinic
) -> None:
    number = add(clinic, "a_OS.jpg", content=OF_SWAPPED)
    assert f" {number} ! 20" in fundusd("results")
    fundusd("correct", "eye", number, "L", *BY)
    assert "!" not in fundusd("results")


def test_u20_an_empty_list_of_results_says_what_is_left_out(
    fundusd: Callable[..., str], clinic: Clinic
) -> None:
    add(clinic, "a_OS.jpg")
    hint = "Files that were replaced since are left out; --superseded shows them."
    assert hint in fundusd("results", "--outcome", "failed")
    assert hint not in fundusd("results")


def test_u20_a_failed_file_that_a_good_one_replaced_needs_nobody(
    fundusd: Callable[..., str], clinic: Clinic
) -> None:
    ledger = clinic.ledger
    ledger.admit(replace(cases.found("a_OD.jpg", "cut"), camera_id="room1"))
    [claim] = ledger.claim(1)
    ledger.fail(claim, Reason.TRUNCATED, "cut short", RIGHT)
    assert "Contact IT" in fundusd("show", 1)
    add(clinic, "a_OD.jpg", "whole")
    assert "Contact IT" not in fundusd("show", 1)
    assert "0 failed (1 more of files that were replaced)" in fundusd("status")

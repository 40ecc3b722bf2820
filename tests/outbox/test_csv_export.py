from __future__ import annotations

import csv
import io
from dataclasses import replace
from typing import TYPE_CHECKING

from tests.outbox import document_cases as cases

from fundusd.domain.clinical_terms import SAFETY_WORDS, Eye, Reason
from fundusd.outbox.csv_export import table

if TYPE_CHECKING:
    from fundusd.clinical.exam import Exam


def lines(exam: Exam) -> list[dict[str, str]]:
    text = table(cases.content(exam)).data.decode()
    return list(csv.DictReader(io.StringIO(text)))


def test_there_is_a_line_for_each_eye_and_for_one_that_is_missing() -> None:
    right, left = lines(cases.exam(cases.shot(Eye.RIGHT)))

    assert (right["eye"], right["outcome"], right["grade"], right["referable"]) == (
        "R",
        "graded",
        "2",
        "yes",
    )
    assert (left["eye"], left["outcome"], left["grade"], left["referable"]) == (
        "L",
        "missing",
        "",
        "indeterminate",
    )
    assert {right["note"], left["note"]} == {SAFETY_WORDS}
    assert {right["person_referable"], left["person_referable"]} == {"yes"}


def test_an_ungradable_eye_says_why_and_what_to_do() -> None:
    right, _ = lines(cases.exam(cases.ungraded(Reason.TOO_DARK)))

    assert (right["outcome"], right["reason"], right["action"]) == (
        "ungradable",
        "too_dark",
        "retake",
    )
    assert (right["grade"], right["score_0"]) == ("", "")


def test_a_review_is_the_grade_and_the_model_keeps_its_own() -> None:
    right, _ = lines(cases.exam(cases.shot(), reading=cases.OVERRIDE))

    assert (right["status"], right["grade"], right["model_grade"], right["verdict"]) == (
        "final",
        "3",
        "2",
        "override",
    )


def test_a_repeat_has_the_same_name_and_a_review_too() -> None:
    names = {
        table(cases.content(cases.exam(cases.shot(), reading=reading))).name
        for reading in (None, cases.OVERRIDE)
    }

    assert len(names) == 1
    assert cases.PATIENT not in names.pop()


def test_a_pseudonymous_site_sends_no_identifier_of_the_hospital() -> None:
    exam = cases.exam(cases.shot(), patient_id=None)

    assert cases.PATIENT.encode() not in table(cases.content(exam)).data
    assert {line["patient_key"] for line in lines(exam)} == {cases.KEY}


def test_a_spreadsheet_computes_nothing_of_what_a_camera_wrote() -> None:
    exam = cases.exam(cases.shot(), patient_id="=HYPERLINK(1)")

    assert lines(exam)[0]["patient_id"] == "'=HYPERLINK(1)"


def test_the_same_person_and_day_have_the_same_name_on_every_database() -> None:
    exam = cases.exam(cases.shot())

    assert table(cases.content(exam)).name == table(cases.content(replace(exam, exam_id=9))).name


def test_warnings_that_concern_the_reader_have_a_column() -> None:
    right, left = lines(cases.exam(cases.shot(warnings=("grey", "turned", "clock_skew"))))

    assert right["warnings"] == (
        "the picture has no colours; "
        "the camera's clock is wrong: do not rely on the time of the photograph"
    )
    assert left["warnings"] == ""


def test_after_final_comes_amended() -> None:
    read = table(cases.content(cases.exam(cases.shot(), reading=cases.AGREES)))
    unread = cases.content(cases.exam(cases.shot()), sent=cases.accepted(read))
    [right, _] = csv.DictReader(io.StringIO(table(unread).data.decode()))

    assert right["status"] == "amended"

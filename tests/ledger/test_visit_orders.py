"""Visits in whatever order their photographs come, and visits that people have arranged."""

from __future__ import annotations

import itertools
from dataclasses import replace
from datetime import date
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests import ledger_cases as cases
from tests.reading_cases import BY
from tests.visit_cases import JPEG, LONG_AGO, NOW, OTHER_STUDY, STUDY, classify, exam_of

from fundusd.domain.clinical_terms import Eye, Reason
from fundusd.ledger import Ledger, visits
from fundusd.ledger.tables import exam

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from fundusd.clinical.exam import Exam
    from fundusd.domain.decoding import Content
    from fundusd.ledger import Claim


# -- what people have arranged


def test_a_capture_that_a_person_placed_belongs_to_that_exam(ledger: Ledger) -> None:
    old = classify(ledger, "a.jpg", acquired_day=LONG_AGO, backlog=True)
    claim = cases.take(ledger, "b.jpg", "b")
    place = "UPDATE capture SET placed_exam_id = :exam WHERE job_id = :job"
    cases.execute(ledger, place, exam=old.exam_id, job=claim.job_id)
    ledger.record([cases.finding(claim, replace(JPEG, acquired_at=NOW))])
    assert exam_of(ledger, "b.jpg").exam_id == old.exam_id
    assert len(cases.rows(ledger, exam)) == 1


def test_captures_of_an_exam_that_was_joined_belong_to_the_other_one(ledger: Ledger) -> None:
    first = classify(ledger, "a.dcm", acquired_at=NOW, study_uid=STUDY)
    second = classify(ledger, "b.dcm", acquired_at=NOW, study_uid=OTHER_STUDY)
    third = classify(ledger, "c.jpg", acquired_day=LONG_AGO, backlog=True)
    join(ledger, second, first)
    join(ledger, third, second)
    for name, content in (
        ("d.dcm", {"acquired_at": NOW, "study_uid": OTHER_STUDY}),
        ("e.jpg", {"acquired_day": LONG_AGO}),
        ("f.jpg", {"acquired_at": NOW}),  # the two studies are one exam now
    ):
        joined = classify(ledger, name, backlog="acquired_day" in content, **content)
        assert joined.exam_id == first.exam_id


def test_exams_that_were_joined_in_a_circle_do_not_stop_the_ledger(ledger: Ledger) -> None:
    first = classify(ledger, "a.jpg", acquired_at=NOW)
    second = classify(ledger, "b.jpg", acquired_day=LONG_AGO, backlog=True)
    join(ledger, first, second)
    join(ledger, second, first)
    assert classify(ledger, "c.jpg", acquired_at=NOW).exam_id in {first.exam_id, second.exam_id}


def test_a7_a_study_does_not_follow_into_an_exam_that_a_person_arranged(ledger: Ledger) -> None:
    old = classify(ledger, "a.dcm", acquired_day=LONG_AGO, backlog=True, study_uid=STUDY)
    today = classify(ledger, "b.jpg", acquired_at=NOW)
    join(ledger, old, today)
    new = classify(ledger, "c.dcm", acquired_at=NOW, study_uid=OTHER_STUDY)
    assert new.exam_id not in {old.exam_id, today.exam_id}


@pytest.mark.parametrize("how", ["record", "fail", "postpone"])
def test_a_photograph_finds_an_exam_after_a_study_was_joined_into_that_without_one(
    ledger: Ledger, how: str
) -> None:
    classify(ledger, "a.dcm", study_uid=STUDY)
    second = classify(ledger, "b.dcm", eye=Eye.LEFT, study_uid=OTHER_STUDY)
    without = classify(ledger, "c.jpg")
    ledger.join_exams(second.exam_id, without.exam_id, BY)
    added = set()
    for name in ("d.jpg", "e.jpg"):
        claim = cases.take(ledger, name, name)
        record_or_fail(ledger, claim, how)
        added.add(exam_of(ledger, name).exam_id)
    assert len(added) == 1
    assert not added & {1, second.exam_id, without.exam_id}
    assert ledger.verify().problem == ""


def record_or_fail(ledger: Ledger, claim: Claim, how: str) -> None:
    if how == "record":
        ledger.record([cases.finding(claim, JPEG)])
    elif how == "fail":
        ledger.fail(claim, Reason.TRUNCATED, "cut short", JPEG)
    else:
        assert ledger.postpone(claim, Reason.TRUNCATED, "cut short", 3600, JPEG)


def join(ledger: Ledger, joined: Exam, into: Exam) -> None:
    statement = "UPDATE exam SET joined_into = :into WHERE id = :exam"
    cases.execute(ledger, statement, into=into.exam_id, exam=joined.exam_id)


# -- in any order

DAYS = st.sampled_from([LONG_AGO, date(2019, 3, 5), date(2026, 1, 5)])
STUDIES = st.sampled_from([None, None, STUDY, OTHER_STUDY])
STEMS = st.sampled_from(["R", "L"])
ARRIVALS = st.lists(st.tuples(DAYS, STUDIES, STEMS), min_size=1, max_size=7)
PEOPLE = itertools.count(100)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40)
@given(ARRIVALS, st.integers(1, 4))
def test_a7_days_and_studies_never_share_an_exam_in_whatever_order_they_come(
    ledger: Ledger, arrivals: Sequence[tuple[date, str | None, str]], at_once: int
) -> None:
    patient = f"P{next(PEOPLE)}"
    contents: dict[str, Content] = {}
    files = []
    for number, (day, study, stem) in enumerate(arrivals):
        word = f"{patient} {number}"
        contents[cases.digest_of(word)] = replace(
            JPEG, patient_id=patient, acquired_day=day, study_uid=study
        )
        name = f"{patient}/{day}/{stem}.{number}"
        files.append(cases.found(name, word, backlog=True))
    for batch in in_batches(files, at_once):
        ledger.admit(*batch)
        claims = ledger.claim(16)
        ledger.record([cases.finding(claim, contents[claim.digest]) for claim in claims])
    exams = {row["id"]: row for row in cases.rows(ledger, exam)}
    exams_of: dict[tuple[str, str | None], set[int]] = {}
    seen: dict[int, set[tuple[str, str | None]]] = {}
    for row in cases.captures(ledger):
        if row["digest"] not in contents:
            continue
        found = exams[row["exam_id"]]
        content = contents[row["digest"]]
        assert found["day"] == str(content.acquired_day)
        exams_of.setdefault((found["day"], content.study_uid), set()).add(found["id"])
        if content.study_uid is not None:
            assert found["study_uid"] == content.study_uid
            seen.setdefault(found["id"], set()).add((found["day"], content.study_uid))
    assert all(len(of_exam) == 1 for of_exam in seen.values())
    for (day_text, study), ids in exams_of.items():
        studies = {other for (on, other) in exams_of if on == day_text and other is not None}
        assert study is None or len(ids) == 1
        if len(studies) < 2:  # one visit
            assert len(set().union(*(exams_of[at] for at in exams_of if at[0] == day_text))) == 1


def in_batches(files: Sequence[Any], size: int) -> Iterator[Sequence[Any]]:
    for start in range(0, len(files), size):
        yield files[start : start + size]


def test_the_exams_of_no_captures_are_none(ledger: Ledger) -> None:
    with ledger.database.writing() as connection:
        assert visits.assign(connection, [], []) == []

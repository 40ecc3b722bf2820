"""A photograph whose name and header name two patients leaves both in doubt (B35)."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any, cast

import pytest
import sqlalchemy as sa
from tests import ledger_cases as cases
from tests.ledger.test_readings import rows
from tests.reading_cases import BY, NO_DR, PDR, exam_of, number, photograph, the_eye
from tests.visit_cases import NOW, TODAY

from fundusd.clinical.attribution import CaptureMetadata
from fundusd.clinical.path_rules import Naming
from fundusd.domain.clinical_terms import Eye, Reason, Referable
from fundusd.domain.errors import RequestError
from fundusd.domain.eye_reasons import EyeReason
from fundusd.domain.readings import ExclusionReason
from fundusd.ledger import Ledger
from fundusd.ledger.tables import capture, exam
from fundusd.reports import next_steps

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import date

    from fundusd.clinical.camera_database import Lookup
    from fundusd.clinical.exam import Exam

YES, OPEN, NO = Referable.YES, Referable.INDETERMINATE, Referable.NO
NAMES = Naming.of("generic", r"(?P<patient>P\d)_(?P<eye>OD|OS)(_\d)?")
RIGHT, LEFT, OTHER = "P1_OD.dcm", "P1_OS.dcm", "P1_OD_2.dcm"


@contextmanager
def opened(store_url: str, naming: Naming, lookup: Lookup | None = None) -> Iterator[Ledger]:
    """Yield a ledger with a camera of which the paths are named, perhaps with its own database."""
    lookups = {cases.CAMERA: lookup} if lookup else {}
    ledger = Ledger(
        store_url, site_key=cases.SITE_KEY, naming={cases.CAMERA: naming}, lookups=lookups
    )
    ledger.start(cases.release())
    ledger.register_camera(cases.CAMERA)
    yield ledger
    ledger.close()


@pytest.fixture
def named(store_url: str) -> Iterator[Ledger]:
    """Yield a ledger with a camera whose names give the patient and the eye."""
    with opened(store_url, NAMES) as ledger:
        yield ledger


def record(
    ledger: Ledger,
    name: str,
    patient: str | None = None,
    logits: Sequence[float] = NO_DR,
    **more: Any,
) -> None:
    """Record a photograph whose header names this patient."""
    claim = cases.take(ledger, name, name)
    content = replace(cases.CONTENT_OF_JPEG, patient_id=patient, **more)
    ledger.record([cases.finding(claim, content, logits)])


def with_conflict(ledger: Ledger) -> None:
    """Record a visit of P1, and a photograph with PDR that names P1, but holds P9."""
    record(ledger, RIGHT)
    record(ledger, LEFT)
    assert exam_of(ledger, RIGHT).final.referable is NO
    record(ledger, OTHER, "P9", PDR)


def test_b35_both_patients_are_in_doubt(named: Ledger) -> None:
    with_conflict(named)
    first, other = exam_of(named, RIGHT), exam_of(named, OTHER)
    assert (first.patient_id, first.final.referable, first.is_final) == ("P1", OPEN, False)
    assert (other.patient_id, other.final.referable) == ("P9", YES)
    assert next_steps.steps(first) == [
        (
            f"Find out whose photograph capture 3 of exam {other.exam_id} is: "
            "its file or its name names this patient, too."
        )
    ]
    [missing] = [row for row in rows(named, "v_incomplete_exam") if row["exam_id"] == first.exam_id]
    assert missing["missing_fields"] == "capture/3"


def test_b35_also_if_the_visit_of_the_other_patient_comes_later(named: Ledger) -> None:
    record(named, OTHER, "P9", PDR)
    record(named, RIGHT)
    record(named, LEFT)
    assert exam_of(named, RIGHT).final.referable is OPEN


def test_b35_a_person_says_that_the_header_is_right(named: Ledger) -> None:
    with_conflict(named)
    after = named.belongs(number(named, OTHER), BY)
    assert after.final.referable is YES
    assert exam_of(named, RIGHT).final.referable is NO


def test_b35_a_person_says_that_the_name_is_right(named: Ledger) -> None:
    with_conflict(named)
    of_other = exam_of(named, OTHER).exam_id
    after = named.belongs_to_other(number(named, OTHER), BY)
    assert (after.exam_id, after.patient_id) == (exam_of(named, RIGHT).exam_id, "P1")
    assert after.final.referable is YES
    assert the_eye(after, Eye.RIGHT).identity_doubt is None
    left = named.exam(of_other)
    assert left is not None
    assert left.eyes == ()
    assert named.verify().problem == ""


def test_b35_after_an_exclusion_the_photograph_can_still_be_given_to_the_other(
    named: Ledger,
) -> None:
    with_conflict(named)
    named.exclude(number(named, OTHER), ExclusionReason.NOT_THIS_PATIENT, BY)
    assert exam_of(named, RIGHT).final.referable is OPEN
    after = named.belongs_to_other(number(named, OTHER), BY)
    assert after.final.referable is YES
    assert named.verify().problem == ""


def test_b35_what_is_no_retina_is_nobodys(named: Ledger) -> None:
    with_conflict(named)
    named.exclude(number(named, OTHER), ExclusionReason.NOT_A_RETINA, BY)
    assert exam_of(named, RIGHT).final.referable is NO


def test_b35_given_again_it_moves_the_photograph_back(named: Ledger) -> None:
    with_conflict(named)
    before = exam_of(named, OTHER).exam_id
    named.belongs_to_other(number(named, OTHER), BY)
    after = named.belongs_to_other(number(named, OTHER), BY)
    assert (after.exam_id, after.patient_id) == (before, "P9")
    assert exam_of(named, RIGHT).final.referable is NO


def test_b35_it_stays_there_if_its_file_is_renamed_and_still_names_the_patient(
    named: Ledger,
) -> None:
    with_conflict(named)
    named.belongs_to_other(number(named, OTHER), BY)
    renamed = "P1_OD_3.dcm"
    stat = cases.found(OTHER, OTHER).stat
    named.mark_missing(cases.CAMERA, [OTHER.encode()])
    named.admit(cases.found(renamed, OTHER, inode=stat.inode, mtime_ns=stat.mtime_ns))
    after = exam_of(named, renamed)
    assert (after.patient_id, after.final.referable) == ("P1", YES)
    assert the_eye(after).identity_doubt is None
    assert named.verify().problem == ""


def test_b35_the_other_patient_needs_no_exam_yet(named: Ledger) -> None:
    record(named, OTHER, "P9", PDR)
    after = named.belongs_to_other(number(named, OTHER), BY)
    assert (after.patient_id, after.final.referable) == ("P1", YES)


def test_b35_lists_and_look_ups_name_the_patient_of_the_exam(named: Ledger) -> None:
    record(named, OTHER, "P9", PDR)
    exam = named.belongs_to_other(number(named, OTHER), BY)
    for view in ("v_worklist", "v_eye_result", "v_person_exam", "v_incomplete_exam"):
        names = [row["patient_id"] for row in rows(named, view) if row["exam_id"] == exam.exam_id]
        assert names == ["P1"]
    assert [row["exam_id"] for row in named.person("P1")["exams"]] == [exam.exam_id]
    assert named.person("P1")["patient_id"] == "P1"
    with pytest.raises(RequestError, match="No person"):
        named.person("P9")


def test_b35_a_failed_photograph_is_in_question_too(named: Ledger) -> None:
    record(named, RIGHT)
    record(named, LEFT)
    claim = cases.take(named, OTHER, OTHER)
    header = replace(cases.CONTENT_OF_JPEG, patient_id="P9")
    named.fail(claim, Reason.TRUNCATED, "cut short", header)
    assert exam_of(named, RIGHT).final.referable is OPEN


def test_a_photograph_that_names_one_patient_has_no_other(named: Ledger) -> None:
    record(named, RIGHT)
    with pytest.raises(RequestError, match="only one patient"):
        named.belongs_to_other(number(named, RIGHT), BY)


def write(ledger: Ledger, name: str, word: str, reason: Reason | None = None) -> None:
    """Record a file with bytes made from `word`, perhaps for the second time or at a used path."""
    ledger.admit(cases.found(name, word))
    for claim in ledger.claim(1):
        if reason is None:
            ledger.record([cases.finding(claim, cases.CONTENT_OF_JPEG, NO_DR)])
        else:
            ledger.record([cases.refusal(claim, reason, cases.CONTENT_OF_JPEG)])


def test_c16_the_bytes_of_an_overwritten_file_come_as_another_patients(named: Ledger) -> None:
    write(named, RIGHT, "of P2, exported as P1's")
    write(named, RIGHT, "of P1")
    write(named, LEFT, "left")
    assert exam_of(named, RIGHT).final.referable is NO
    write(named, "P2_OD.dcm", "of P2, exported as P1's")
    for name in (RIGHT, "P2_OD.dcm"):
        assert the_eye(exam_of(named, name)).reason is EyeReason.PATIENT_UNCERTAIN


def test_c16_two_names_that_are_swapped_leave_both_patients_in_doubt(named: Ledger) -> None:
    write(named, RIGHT, "a good one")
    write(named, "P2_OD.dcm", "a blurred one", Reason.BLUR)
    named.admit(cases.found(RIGHT, "a blurred one"), cases.found("P2_OD.dcm", "a good one"))
    for name in (RIGHT, "P2_OD.dcm"):
        assert exam_of(named, name).final.referable is OPEN
    assert named.verify().problem == ""


def with_issuers(ledger: Ledger, study_uid: str = "1.2.9") -> None:
    """Record a visit of P1 and a photograph of P9 under P1's name; the headers name an issuer."""
    for name in (RIGHT, LEFT):
        record(ledger, name, "P1", issuer="HOSP", study_uid="1.2.3")
    assert exam_of(ledger, RIGHT).final.referable is NO
    record(ledger, OTHER, "P9", PDR, issuer="HOSP", study_uid=study_uid)


def test_b35_a_name_gives_a_number_without_the_issuer_of_the_headers(named: Ledger) -> None:
    with_issuers(named)
    first = exam_of(named, RIGHT)
    assert (first.final.referable, first.is_final, len(first.claims)) == (OPEN, False, 1)


@pytest.mark.parametrize("study_uid", ["1.2.3", "1.2.9"])
def test_b35_the_other_patient_is_the_person_whom_the_number_means(
    named: Ledger, study_uid: str
) -> None:
    with_issuers(named, study_uid)
    first = exam_of(named, RIGHT)
    after = named.belongs_to_other(number(named, OTHER), BY)
    assert (after.patient_key, after.patient_id) == (first.patient_key, "P1")
    assert after.final.referable is YES
    assert (after.exam_id == first.exam_id) is (study_uid == "1.2.3")
    assert not exam_of(named, RIGHT).is_final
    for view in ("v_worklist", "v_eye_result", "v_person_exam"):
        names = {row["patient_id"] for row in rows(named, view) if row["exam_id"] == after.exam_id}
        assert names == {"P1"}
    back = named.belongs_to_other(number(named, OTHER), BY)
    assert (back.patient_id, exam_of(named, RIGHT).final.referable) == ("P9", NO)
    assert named.verify().problem == ""


def test_b35_a_number_of_two_patients_does_not_say_whose_photograph_it_is(named: Ledger) -> None:
    with_issuers(named)
    record(named, "P1_OD_3.dcm", "P1", issuer="CLINIC", study_uid="1.2.4")
    for name in (RIGHT, "P1_OD_3.dcm"):
        assert len(exam_of(named, name).claims) == 1
    with pytest.raises(RequestError, match="several patients") as caught:
        named.belongs_to_other(number(named, OTHER), BY)
    assert f"fundusd correct belongs {number(named, OTHER)}" in caught.value.hint
    assert "exclude" not in caught.value.hint  # a referable photograph would count nowhere


def test_an_old_photograph_without_a_date_is_not_given_to_the_visit_of_today(
    named: Ledger,
) -> None:
    record(named, LEFT, acquired_day=TODAY)
    claim = cases.take(named, OTHER, OTHER, backlog=True)
    content = replace(cases.CONTENT_OF_JPEG, patient_id="P9")
    named.record([cases.finding(claim, content, NO_DR)])
    after = named.belongs_to_other(number(named, OTHER), BY)
    assert after.patient_id == "P1"
    assert after.exam_id != exam_of(named, LEFT).exam_id
    today = exam_of(named, LEFT)
    assert (today.final.referable, today.missing) == (OPEN, (Eye.RIGHT,))
    assert named.verify().problem == ""


def test_bytes_that_came_a_week_ago_are_given_to_the_visit_of_that_day(named: Ledger) -> None:
    record(named, LEFT, acquired_day=TODAY)
    record(named, OTHER, "P9")
    before = TODAY - timedelta(days=7)
    age(named, number(named, OTHER), before)
    named.admit(cases.found("P1_OD_3.dcm", OTHER))
    after = named.belongs_to_other(number(named, "P1_OD_3.dcm"), BY)
    assert (after.patient_id, after.day) == ("P1", before)
    assert exam_of(named, LEFT).missing == (Eye.RIGHT,)


def test_bytes_that_came_a_week_ago_are_parted_into_an_exam_of_that_day(named: Ledger) -> None:
    record(named, RIGHT)
    before = TODAY - timedelta(days=7)
    age(named, number(named, RIGHT), before)
    record(named, LEFT)
    named.admit(cases.found("P1_OD_3.dcm", RIGHT))
    named.join_exams(exam_of(named, RIGHT).exam_id, exam_of(named, LEFT).exam_id, BY)
    assert named.part_exam(number(named, "P1_OD_3.dcm"), BY).day == before
    assert named.verify().problem == ""


def age(ledger: Ledger, capture_id: int, day: date) -> None:
    """Let a capture have been received on another day."""
    with ledger.database.writing() as connection:
        is_meant = capture.c.id == capture_id
        received = {"received_at": NOW - (TODAY - day), "local_day": day.isoformat()}
        connection.execute(sa.update(capture).where(is_meant).values(**received))
        of_capture = sa.select(capture.c.exam_id).where(is_meant).scalar_subquery()
        key = sa.func.replace(exam.c.key, TODAY.isoformat(), day.isoformat())
        aged = sa.update(exam).where(exam.c.id == of_capture)
        connection.execute(aged.values(day=day.isoformat(), key=key))


def joined(ledger: Ledger) -> None:
    """Join the photograph of an unknown patient into a visit of P1."""
    record(ledger, LEFT)
    write(ledger, "unknown.jpg", "the same bytes")
    unknown = exam_of(ledger, "unknown.jpg")
    ledger.join_exams(unknown.exam_id, exam_of(ledger, LEFT).exam_id, BY)


@pytest.mark.parametrize("is_joined_first", [True, False])
def test_c16_a_joined_photograph_has_the_bytes_of_another_patient(
    named: Ledger, is_joined_first: bool
) -> None:
    if is_joined_first:
        joined(named)
    write(named, "P2_OD.dcm", "the same bytes")
    if not is_joined_first:
        joined(named)
    for in_doubt in (exam_of(named, LEFT), exam_of(named, "P2_OD.dcm")):
        assert EyeReason.PATIENT_UNCERTAIN in {eye.reason for eye in in_doubt.eyes}
    assert named.verify().problem == ""


@pytest.mark.parametrize("is_of_claimant", [True, False])
def test_b35_a_claim_holds_if_an_exam_of_the_day_is_joined_into_another(
    named: Ledger, is_of_claimant: bool
) -> None:
    patient, joined_name = ("P1", RIGHT) if is_of_claimant else ("P9", OTHER)
    before = f"{patient}_OS_9.dcm"
    record(named, before, patient, acquired_day=TODAY - timedelta(days=1))
    with_conflict(named)
    today = exam_of(named, joined_name).exam_id
    assert today != exam_of(named, before).exam_id
    named.join_exams(today, exam_of(named, before).exam_id, BY)
    claimant = exam_of(named, RIGHT)
    assert [claim.capture_id for claim in claimant.claims] == [number(named, OTHER)]
    assert claimant.final.referable is OPEN
    named.belongs(number(named, OTHER), BY)
    assert exam_of(named, RIGHT).final.referable is NO


def test_b35_another_file_of_the_photograph_stays_in_question(named: Ledger) -> None:
    record(named, LEFT)
    record(named, "P1_OD.jpg")
    record(named, RIGHT, "P9", PDR)
    named.belongs(number(named, RIGHT), BY)
    jpeg = number(named, "P1_OD.jpg")
    before = exam_of(named, LEFT)
    assert [claim.capture_id for claim in before.claims] == [jpeg]
    assert before.final.referable is OPEN
    after = named.exclude(jpeg, ExclusionReason.NOT_THIS_PATIENT, BY)
    assert (after.claims, after.missing) == ((), (Eye.RIGHT,))


def test_b35_a_person_says_that_the_other_file_is_the_patients_nevertheless(
    named: Ledger,
) -> None:
    record(named, LEFT)
    record(named, "P1_OD.jpg")
    record(named, RIGHT, "P9", PDR)
    named.belongs(number(named, RIGHT), BY)
    after = named.belongs(number(named, "P1_OD.jpg"), BY)
    assert (after.claims, after.final.referable) == ((), NO)
    assert named.verify().problem == ""


# -- the day, and the patient, that the name gives (A5, A7)


@pytest.fixture
def dated(store_url: str) -> Iterator[Ledger]:
    """Yield a ledger with a camera whose names give the patient, the day and the eye."""
    pattern = r"(?P<patient>P\d)_(?P<date>\d{8})_(?P<eye>OD|OS)(_\d)?"
    with opened(store_url, Naming.of("generic", pattern)) as ledger:
        yield ledger


def test_a5_the_visit_of_the_day_that_the_name_gives_is_in_doubt_too(dated: Ledger) -> None:
    ledger = dated
    today, before = f"{TODAY:%Y%m%d}", TODAY - timedelta(days=400)
    record(ledger, f"P1_{today}_OD.dcm")
    record(ledger, f"P1_{today}_OS.dcm")
    of_name = exam_of(ledger, f"P1_{today}_OD.dcm").exam_id
    other = f"P1_{today}_OD_2.dcm"
    record(ledger, other, "P9", PDR, acquired_day=before)
    in_doubt = exam_of(ledger, f"P1_{today}_OD.dcm")
    assert (exam_of(ledger, other).day, in_doubt.final.referable) == (before, OPEN)
    after = ledger.belongs_to_other(number(ledger, other), BY)
    assert (after.exam_id, after.final.referable) == (of_name, YES)
    assert the_eye(after).identity_doubt is None
    back = ledger.belongs_to_other(number(ledger, other), BY)
    assert (back.patient_id, back.day) == ("P9", before)
    assert ledger.verify().problem == ""


class CameraDatabase:
    """A camera's database that gives P9 as the patient of one photograph."""

    def ask(self, paths: Sequence[str]) -> list[CaptureMetadata]:
        of_other = CaptureMetadata(patient="P9")
        return [of_other if path == OTHER else CaptureMetadata() for path in paths]


def test_a7_the_cameras_database_and_the_name_give_two_patients(store_url: str) -> None:
    with opened(store_url, NAMES, cast("Lookup", CameraDatabase())) as ledger:
        record(ledger, RIGHT)
        record(ledger, LEFT)
        record(ledger, OTHER, logits=PDR)
        assert exam_of(ledger, OTHER).patient_id == "P9"
        assert exam_of(ledger, RIGHT).final.referable is OPEN
        after = ledger.belongs_to_other(number(ledger, OTHER), BY)
        assert (after.patient_id, after.final.referable) == ("P1", YES)
        assert ledger.verify().problem == ""


# -- a header that is read only after a person has joined the exam


def joined_before_it_was_read(ledger: Ledger) -> Exam:
    """Join a failed photograph of nobody into an exam of PATIENT-7; its header names PATIENT-9."""
    exam = photograph(ledger, "1.dcm", Eye.LEFT)
    photograph(ledger, "9.dcm", patient="PATIENT-9")
    photograph(ledger, "9l.dcm", Eye.LEFT, patient="PATIENT-9")
    claim = cases.take(ledger, "2.dcm", "2.dcm")
    ledger.fail(claim, Reason.DECODE_ERROR, "could not be read")
    ledger.join_exams(exam_of(ledger, "2.dcm").exam_id, exam.exam_id, BY)
    ledger.retry(number(ledger, "2.dcm"))
    [claim] = ledger.claim(1)
    header = replace(cases.CONTENT_OF_JPEG, patient_id="PATIENT-9", eye=Eye.RIGHT)
    ledger.record([cases.finding(claim, header, NO_DR)])
    return exam_of(ledger, "2.dcm")


def test_a_photograph_in_the_exam_of_another_patient_than_its_header_is_in_doubt(
    ledger: Ledger,
) -> None:
    exam = joined_before_it_was_read(ledger)
    assert exam.exam_id == exam_of(ledger, "1.dcm").exam_id
    assert the_eye(exam, Eye.RIGHT).identity_doubt is EyeReason.PATIENT_UNCERTAIN
    assert exam.final.referable is OPEN
    assert exam_of(ledger, "9.dcm").final.referable is OPEN
    assert ledger.verify().problem == ""


def test_a_person_says_whose_it_is(ledger: Ledger) -> None:
    joined_before_it_was_read(ledger)
    after = ledger.belongs_to_other(number(ledger, "2.dcm"), BY)
    assert after.exam_id == exam_of(ledger, "9.dcm").exam_id
    assert after.final.referable is NO
    assert exam_of(ledger, "1.dcm").missing == (Eye.RIGHT,)
    assert ledger.verify().problem == ""

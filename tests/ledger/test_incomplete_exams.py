"""The list of incomplete exams names everybody of whom photographs are missing."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from tests import ledger_cases as cases
from tests.ledger.test_readings import rows
from tests.reading_cases import BY, PDR, number, photograph

from fundusd.clinical.path_rules import Naming
from fundusd.domain.clinical_terms import Eye
from fundusd.domain.readings import ExclusionReason
from fundusd.ledger import Ledger

if TYPE_CHECKING:
    from collections.abc import Iterator

LEFT = Eye.LEFT


@pytest.fixture
def site(store_url: str) -> Iterator[Ledger]:
    """Yield a ledger with a camera whose names may give the patient."""
    naming = {cases.CAMERA: Naming.of("generic", r"(?P<patient>P\d)_\d")}
    ledger = Ledger(store_url, site_key=cases.SITE_KEY, naming=naming)
    ledger.start(cases.release())
    ledger.register_camera(cases.CAMERA)
    yield ledger
    ledger.close()


def missing(ledger: Ledger) -> dict[int, str]:
    return {row["exam_id"]: row["missing_fields"] for row in rows(ledger, "v_incomplete_exam")}


def dated(days_ago: int) -> dict[str, Any]:
    return {"acquired_day": datetime.now().astimezone().date() - timedelta(days=days_ago)}


@pytest.mark.parametrize("reason", ExclusionReason)
def test_v16_a_patient_whose_photographs_are_all_excluded_is_on_the_list_and_shown(
    site: Ledger, reason: ExclusionReason
) -> None:
    exam = photograph(site, "1.jpg")
    site.exclude(number(site, "1.jpg"), reason, BY)
    [row] = rows(site, "v_incomplete_exam")
    assert (row["missing_fields"], row["patient_id"]) == ("R L", "PATIENT-7")
    history = site.person("PATIENT-7")
    assert history["patient_id"] == "PATIENT-7"
    assert [row["exam_id"] for row in history["exams"]] == [exam.exam_id]


def test_c7_so_is_an_unknown_patient(ledger: Ledger) -> None:
    photograph(ledger, "1.dcm", patient=None, study_uid="1.2.3", logits=PDR)
    exam = photograph(ledger, "2.dcm", LEFT, patient=None, study_uid="1.2.3")
    for name in ("1.dcm", "2.dcm"):
        ledger.exclude(number(ledger, name), ExclusionReason.OTHER, BY)
    assert missing(ledger) == {exam.exam_id: "R L"}


@pytest.mark.parametrize(("name", "lacked"), [("P1_1.jpg", "R L"), ("1.jpg", None)])
def test_c10_a_patient_all_of_whose_files_are_another_patients_now_is_on_the_list(
    site: Ledger, name: str, lacked: str | None
) -> None:
    exam = photograph(site, name, patient=None)
    stat = cases.found(name, name).stat
    site.mark_missing(cases.CAMERA, [name.encode()])
    site.admit(cases.found("P2_1.jpg", name, inode=stat.inode, mtime_ns=stat.mtime_ns))
    # a photograph of nobody that has got a name since leaves nobody behind
    assert missing(site).get(exam.exam_id) == lacked
    assert len(missing(site)) == (2 if lacked else 1)


def test_an_exam_that_was_joined_into_another_lacks_nothing(ledger: Ledger) -> None:
    exam = photograph(ledger, "1.dcm", study_uid="1.2.3")
    other = photograph(ledger, "2.dcm", LEFT, study_uid="1.2.4")
    ledger.join_exams(other.exam_id, exam.exam_id, BY)
    assert missing(ledger) == {}


def test_v14_an_exam_leaves_the_list_when_a_later_one_lacks_nothing(ledger: Ledger) -> None:
    exam = photograph(ledger, "1.jpg", **dated(1))
    other = photograph(ledger, "2.jpg", patient="PATIENT-8", **dated(1))
    later = photograph(ledger, "3.jpg", **dated(0))
    assert missing(ledger) == {exam.exam_id: "L", other.exam_id: "L", later.exam_id: "L"}
    photograph(ledger, "4.jpg", LEFT, **dated(0))
    assert missing(ledger) == {other.exam_id: "L"}


def test_v14_an_earlier_exam_makes_up_for_nothing(ledger: Ledger) -> None:
    exam = photograph(ledger, "1.jpg", **dated(1))
    photograph(ledger, "2.jpg", **dated(2))
    photograph(ledger, "3.jpg", LEFT, **dated(2))
    assert missing(ledger) == {exam.exam_id: "L"}


def test_v14_nor_does_an_exam_whose_day_is_not_certain(ledger: Ledger) -> None:
    exam = photograph(ledger, "1.jpg", **dated(1))
    photograph(ledger, "2.jpg")  # received today
    later = photograph(ledger, "3.jpg", LEFT)
    assert later.missing == ()
    assert missing(ledger) == {exam.exam_id: "L"}

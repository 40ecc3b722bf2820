"""What is said of a file, or of where it was, changes the claims that rest on it at once."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa
from tests import ledger_cases as cases
from tests.ledger.test_claims import NO, OPEN, claimed, record, renamed
from tests.reading_cases import BY, PDR, exam_of, number, read
from tests.visit_cases import TODAY

from fundusd.clinical.path_rules import Naming
from fundusd.domain.clinical_terms import Eye
from fundusd.domain.readings import ExclusionReason
from fundusd.ledger import Ledger, exams
from fundusd.ledger.tables import exam

if TYPE_CHECKING:
    from collections.abc import Iterator

NAMES = Naming.of("generic", r"(?P<patient>P\d)_(?P<eye>OD|OS)(_(?P<date>\d{8}))?(_\d)?")
YESTERDAY = f"{TODAY - timedelta(days=1):%Y%m%d}"


@pytest.fixture
def dated(store_url: str) -> Iterator[Ledger]:
    """Yield a ledger with a camera whose names give the patient, the eye and perhaps the day."""
    ledger = Ledger(store_url, site_key=cases.SITE_KEY, naming={cases.CAMERA: NAMES})
    ledger.start(cases.release())
    ledger.register_camera(cases.CAMERA)
    yield ledger
    ledger.close()


def assert_stored_as_judged(ledger: Ledger) -> None:
    with ledger.database.reading() as connection:
        numbers = list(connection.scalars(sa.select(exam.c.id)))
        assert exams.outdated(connection, numbers) == []
    assert ledger.verify().problem == ""


def test_what_is_said_of_a_renamed_file_changes_the_claim_of_its_old_name(dated: Ledger) -> None:
    new_name = f"P9_OD_{YESTERDAY}.dcm"
    for name in ("P1_OS.jpg", "P1_OD.jpg"):
        record(dated, name)
    record(dated, "P1_OD.dcm", "P9", PDR)
    renamed(dated, "P1_OD.dcm", new_name)
    jpeg = number(dated, "P1_OD.jpg")
    assert claimed(exam_of(dated, "P1_OS.jpg")) == [jpeg]
    dated.exclude(number(dated, new_name), ExclusionReason.NOT_A_RETINA, BY)
    assert claimed(exam_of(dated, "P1_OS.jpg")) == []
    assert_stored_as_judged(dated)
    for eye in (Eye.RIGHT, Eye.LEFT):
        read(dated, exam_of(dated, "P1_OS.jpg"), eye=eye)
    assert exam_of(dated, "P1_OS.jpg").final.referable is NO
    dated.include(number(dated, new_name), BY)
    after = exam_of(dated, "P1_OS.jpg")
    assert (claimed(after), after.final.referable, after.is_final) == ([jpeg], OPEN, False)
    assert_stored_as_judged(dated)

"""An upgrade from each older revision judges exams anew and loses nothing of what it held.

The rows are written by this program, and copied as an older one would have written them. Those
that an upgrade fills in must be as this program writes them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from tests import ledger_cases as cases
from tests.ledger.test_followed_photographs import moved
from tests.reading_cases import BY, PDR, photograph, read
from tests.upgrade_cases import copy, upgrade_to

from fundusd.domain.clinical_terms import Eye, Grade, Reason, ReviewVerdict
from fundusd.domain.readings import AbsenceReason, ExclusionReason
from fundusd.ledger import Ledger
from fundusd.ledger.tables import metadata

if TYPE_CHECKING:
    from collections.abc import Iterator


OVERRIDE = ReviewVerdict.OVERRIDE
WRONG = (
    "UPDATE exam SET final_referable = 'no', final_grade = 0",
    "UPDATE eye_result SET final_referable = 'no', final_grade = 0",
)
# an upgrade or the next start adds rows to these
NEW = {"audit_event", "sent_document", "site"}


@pytest.fixture
def source(sqlite_url: str) -> Iterator[Ledger]:
    """Open a database with readings, corrections, moved and failed files, and a follow-up."""
    ledger = Ledger(sqlite_url, site_key=cases.SITE_KEY)
    ledger.start(cases.release())
    ledger.register_camera(cases.CAMERA)
    first = photograph(ledger, "1.jpg", logits=PDR)
    photograph(ledger, "2.jpg", Eye.LEFT)
    read(ledger, first)
    read(ledger, first, OVERRIDE, Eye.LEFT, grade=Grade.PDR)
    moved(ledger, "2.jpg", "archive/2.jpg")
    photograph(ledger, "3.jpg", Eye.LEFT)  # since then, the left eye has to be read again
    blurred = photograph(ledger, "4.jpg", patient="PATIENT-8", reason=Reason.BLUR)
    read(ledger, blurred, ReviewVerdict.RETAKE)
    photograph(ledger, "5.jpg", Eye.LEFT, patient="PATIENT-8", reason=Reason.TRUNCATED)
    photograph(ledger, "6.jpg", patient=None)
    photograph(ledger, "issuer.jpg", patient="PATIENT-10", issuer="HOSPITAL")
    yield ledger
    ledger.close()


def correct(source: Ledger) -> None:
    """Correct what versions before revision 0002 could not."""
    source.correct_eye(6, Eye.LEFT, BY)
    photograph(source, "7.jpg", patient="PATIENT-9")
    last = photograph(source, "8.jpg", Eye.LEFT, patient="PATIENT-9")
    source.exclude(10, ExclusionReason.NOT_THIS_PATIENT, BY)
    source.eye_absent(last.exam_id, Eye.LEFT, AbsenceReason.PROSTHESIS, BY)


@pytest.fixture
def ledger(empty_store_url: str) -> Iterator[Ledger]:
    """Open an empty database, to which the rows are copied."""
    opened = Ledger(empty_store_url)  # `fundusd db upgrade` does not need the site key
    yield opened
    opened.close()


def contents(ledger: Ledger) -> dict[str, list[dict[str, Any]]]:
    """Return the rows of all tables that an upgrade must leave, or bring, as they are."""
    tables: dict[str, list[dict[str, Any]]] = {}
    for table in metadata.sorted_tables:
        if table.name not in NEW:
            tables[table.name] = cases.rows(ledger, table)
    for row in tables["eye_result"]:
        row.pop("resulted_at")
    tables["tally"] = [row for row in tables["tally"] if row["count"]]
    for name in (
        "eye_result",
        "review_photograph",
        "tally",
    ):  # of two columns, of which `rows` sorts by one
        tables[name].sort(key=lambda row: list(map(str, row.values())))
    return tables


@pytest.mark.parametrize("revision", ["0002", "0003", "0004"])
def test_an_upgrade_judges_anew_and_loses_nothing(
    source: Ledger, ledger: Ledger, revision: str
) -> None:
    correct(source)
    source.admit(cases.found("waits.jpg", "waits"))
    wanted = contents(source)
    assert all(wanted[name] for name in ("correction", "follow_up", "review_photograph"))
    upgrade_to(ledger, revision)
    copy(source, ledger)
    for statement in WRONG:
        cases.execute(ledger, statement)

    done = ledger.upgrade()

    assert (done.before, done.judged_exams) == (revision, len(wanted["exam"]))
    assert done.changed_exams > 0
    after = contents(ledger)
    for name, rows in wanted.items():
        assert after[name] == rows, name
    assert ledger.verify().broken_seq is None


def test_an_upgrade_from_the_first_revision_keeps_readings_and_their_photographs(
    source: Ledger, ledger: Ledger
) -> None:
    upgrade_to(ledger, "0001")
    copy(source, ledger)
    for statement in WRONG:
        cases.execute(ledger, statement)

    ledger.upgrade()

    after, wanted = contents(ledger), contents(source)
    for row in (*after["eye_result"], *wanted["eye_result"]):
        row.pop("urgency")  # an eye without the follow-up of its verdict is on the worklist again
    for name in ("review_photograph", "eye_result"):
        assert after[name] == wanted[name], name
    assert ledger.verify().broken_seq is None

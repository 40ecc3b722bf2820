"""The audit chain is append-only; without its guards every change is found at its place."""

from __future__ import annotations

import getpass
import os

import pytest
import sqlalchemy as sa
from tests import ledger_cases as cases

from fundusd.domain.clinical_terms import Reason
from fundusd.ledger import Ledger, audit
from fundusd.ledger.audit_events import AuditEvent
from fundusd.ledger.tables import GRADE_KEYS, audit_event, result

PATIENT = ("PATIENT-7", "clinic", "1.2.3", "a_OS", ".dcm")


@pytest.fixture
def history(ledger: Ledger) -> Ledger:
    """Give a ledger with a history of a dozen events: two graded captures, one failed."""
    cases.classify(ledger, "P1/a_OS.dcm", "A")
    cases.classify(ledger, "P1/b_OS.dcm", "B")
    ledger.fail(cases.take(ledger, "c.dcm", "C"), Reason.TRUNCATED, "cut short")
    return ledger


def broken_by(ledger: Ledger, *statements: str) -> tuple[int | None, str]:
    """Return what verifying finds after a superuser removed the guards and changed rows."""
    names = (
        ("no_update", "no_delete", "next_seq")
        if ledger.database.is_sqlite
        else ("no_update", "no_delete")
    )
    on_table = "" if ledger.database.is_sqlite else " ON audit_event"
    with ledger.database.engine.connect() as connection, connection.begin() as transaction:
        for statement in (
            *[f"DROP TRIGGER audit_event_{name}{on_table}" for name in names],
            *statements,
        ):
            connection.execute(sa.text(statement))
        verdict = audit.verify(connection)
        transaction.rollback()
    return verdict.broken_seq, verdict.problem


def seq_of(ledger: Ledger, event: str) -> int:
    """Return the sequence number of the first such event."""
    return int(next(row["seq"] for row in cases.rows(ledger, audit_event) if row["event"] == event))


def test_an_untouched_chain_verifies(history: Ledger) -> None:
    verdict = history.verify()
    assert (verdict.broken_seq, verdict.problem) == (None, "")
    assert verdict.events == len(cases.rows(history, audit_event)) == cases.last_seq(history)
    assert verdict.results == 2
    assert verdict.head == bytes(cases.rows(history, audit_event)[-1]["row_hash"]).hex()


def test_an_empty_chain_verifies(store_url: str) -> None:
    ledger = Ledger(store_url)
    verdict = ledger.verify()
    assert (verdict.events, verdict.results, verdict.broken_seq, verdict.head) == (
        0,
        0,
        None,
        "00" * 32,
    )
    ledger.close()


def test_a_long_chain_verifies(ledger: Ledger) -> None:
    with ledger.database.writing() as connection:
        audit.append(
            connection, *[audit.Entry(AuditEvent.APPLICATION_STARTED) for _ in range(2500)]
        )  # several pages of rows
    assert ledger.verify().events == 2503


REFUSED = [
    "UPDATE audit_event SET actor_id = 'nobody' WHERE seq = 2",
    "UPDATE audit_event SET seq = seq + 100",
    "DELETE FROM audit_event WHERE seq = 3",
    "DELETE FROM audit_event",
]


def test_events_cannot_be_changed_or_removed(history: Ledger) -> None:
    before = cases.rows(history, audit_event)
    for statement in REFUSED:
        with pytest.raises(sa.exc.DBAPIError, match="append-only"):
            cases.execute(history, statement)
    assert cases.rows(history, audit_event) == before


def test_not_even_as_a_replica(postgres_url: str) -> None:
    ledger = Ledger(postgres_url)
    ledger.start(cases.release())
    with ledger.database.engine.connect() as connection:
        connection.exec_driver_sql("SET session_replication_role = replica")
        connection.commit()
        for statement in ("TRUNCATE audit_event", *REFUSED):
            with pytest.raises(sa.exc.DBAPIError, match="append-only"):
                connection.exec_driver_sql(statement)
            connection.rollback()
        connection.invalidate()
    ledger.close()


def test_sqlite_takes_the_next_event_only(sqlite_url: str) -> None:
    ledger = Ledger(sqlite_url)
    ledger.start(cases.release())
    before = cases.rows(ledger, audit_event)
    listed = ", ".join(f'"{column.name}"' for column in audit_event.c if column.name != "seq")
    for verb, seq in (
        ("INSERT OR REPLACE", 2),
        ("REPLACE", 5),
        ("INSERT", 99),
        ("INSERT OR IGNORE", 0),
    ):
        copy = f"{verb} INTO audit_event (seq, {listed}) SELECT {seq}, {listed} FROM audit_event"  # noqa: S608
        with pytest.raises(sa.exc.DBAPIError, match="next seq only"):
            cases.execute(ledger, copy)
    assert cases.rows(ledger, audit_event) == before
    ledger.close()


def test_without_a_change_nothing_is_found(history: Ledger) -> None:
    assert broken_by(history) == (None, "")


def test_a_changed_word_is_found_where_it_stands(history: Ledger) -> None:
    seq = seq_of(history, "capture.graded")
    changes = {
        "event": "'capture.refused'",
        "actor_id": "'nobody'",
        "host": "'elsewhere'",
        "at": "'2020-01-01T00:00:00.000000Z'",
        "detail": "replace(detail, 'cam', 'can')",
        "outcome": "4",
        "action": "'D'",
        "code": "'110100'",
        "actor_kind": "'person'",
        "entity_kind": "NULL",
        "entity_id": "entity_id + 1",
        "patient_key": "NULL",
        "release_id": "NULL",
        "digest": "'other'",
        "row_hash": "prev_hash",
    }
    assert {*changes, "seq", "prev_hash"} == {column.name for column in audit_event.c}
    for column, value in changes.items():
        broken = broken_by(history, f"UPDATE audit_event SET {column} = {value} WHERE seq = {seq}")  # noqa: S608
        assert broken == (seq, "its content was changed"), column


def test_a_changed_link_is_found_where_it_stands(history: Ledger) -> None:
    broken = broken_by(history, "UPDATE audit_event SET prev_hash = row_hash WHERE seq = 5")
    assert broken == (5, "it does not follow the row before it")


def test_a_removed_row_is_found_where_it_stood(history: Ledger) -> None:
    for seq in (1, 6):
        broken = broken_by(history, f"DELETE FROM audit_event WHERE seq = {seq}")  # noqa: S608
        assert broken == (seq, "a row is missing or was inserted")


def test_a_removed_row_is_found_even_when_the_gap_is_closed(history: Ledger) -> None:
    closing = [f"UPDATE audit_event SET seq = {seq - 1} WHERE seq = {seq}" for seq in range(7, 13)]  # noqa: S608
    broken = broken_by(history, "DELETE FROM audit_event WHERE seq = 6", *closing)
    assert broken == (6, "it does not follow the row before it")


def test_swapped_rows_are_found_at_the_first_of_them(history: Ledger) -> None:
    swap = [
        f"UPDATE audit_event SET seq = {new} WHERE seq = {old}"  # noqa: S608
        for old, new in ((5, 1000), (8, 5), (1000, 8))
    ]
    assert broken_by(history, *swap)[0] == 5


def test_a_changed_result_is_found_at_its_event(history: Ledger) -> None:
    seq = seq_of(history, "capture.graded")
    changes = [
        f"{kind}_{key} = {kind}_{key} + 1e-9" for kind in ("logit", "score") for key in GRADE_KEYS
    ]
    changes += ["grade = 0", "referable = 'no'", "action = 'retake'", "content = '{}'"]
    for change in changes:
        broken = broken_by(history, f"UPDATE result SET {change} WHERE id = 1")  # noqa: S608
        assert broken == (seq, "result 1 is not what was recorded"), change


def test_a_removed_result_is_found_at_its_event(history: Ledger) -> None:
    broken = broken_by(history, "DELETE FROM result WHERE id = 1")
    assert broken == (seq_of(history, "capture.graded"), "result 1 is not what was recorded")


def test_a_capture_under_another_eye_or_patient_is_found_at_its_event(history: Ledger) -> None:
    changes = (
        "eye = 'R'",
        "eye_source = 'conflict'",
        "patient_id = 'P8'",
        "patient_key = 'x'",
        "revision = 9",
    )
    for capture_id, event in ((1, "capture.graded"), (3, "capture.failed")):
        for change in (*changes, "digest = 'other'", "field = 'macula'"):
            broken = broken_by(history, f"UPDATE capture SET {change} WHERE id = {capture_id}")  # noqa: S608
            assert broken == (
                seq_of(history, event),
                f"capture {capture_id} is not what was recorded",
            ), change


def test_an_inserted_result_is_found_after_the_last_event(history: Ledger) -> None:
    held = cases.take(history, "d.dcm", "D")
    listed = ", ".join(column.name for column in result.c if column.name not in {"id", "digest"})
    columns = f"SELECT 77, '{held.digest}', {listed}"
    copy = f"INSERT INTO result (id, digest, {listed}) {columns} FROM result WHERE id = 1"
    assert broken_by(history, copy) == (cases.last_seq(history) + 1, "result 77 was never recorded")


def test_a_reused_result_is_vouched_for_again(history: Ledger) -> None:
    history.admit(cases.found("again.dcm", "A"))
    assert history.verify().broken_seq is None
    assert [detail["result_id"] for detail in cases.details(history, "capture.graded")] == [1, 2, 1]


def test_an_unknown_detail_is_refused(ledger: Ledger) -> None:
    before = cases.last_seq(ledger)
    with pytest.raises(KeyError, match="patient_name"), ledger.database.writing() as connection:
        audit.append(
            connection, audit.Entry(AuditEvent.APPLICATION_STARTED, detail={"patient_name": "x"})
        )
    assert cases.last_seq(ledger) == before


def test_events_carry_dicom_codes_and_say_who_and_where(history: Ledger) -> None:
    rows = cases.rows(history, audit_event)
    assert {row["code"] for row in rows} <= {"110100", "110103", "110107"}
    assert {row["action"] for row in rows} <= set("CRUDE")
    assert {row["outcome"] for row in rows} <= {0, 4, 8, 12}
    assert all(row["actor_id"].startswith("fundusd:") and row["host"] for row in rows)
    codes = {row["event"]: (row["code"], row["action"], row["outcome"]) for row in rows}
    assert codes["capture.admitted"] == ("110107", "C", 0)
    assert codes["capture.graded"] == ("110103", "E", 0)
    assert codes["capture.failed"] == ("110103", "E", 4)


def test_a_user_without_a_name_is_told_by_number(monkeypatch: pytest.MonkeyPatch) -> None:
    def nameless() -> str:
        raise KeyError

    monkeypatch.setattr(getpass, "getuser", nameless)
    assert audit._actor.__wrapped__()["actor_id"] == f"fundusd:{os.getuid()}"


def test_no_event_holds_a_patients_identity_or_a_path(history: Ledger) -> None:
    history.admit(cases.found("P1/a_OS.dcm", "E"))
    history.mark_missing("cam", [b"P1/b_OS.dcm"])
    text = " ".join(
        str(value) for row in cases.rows(history, audit_event) for value in row.values()
    )
    assert [word for word in PATIENT if word in text] == []
    graded = [row for row in cases.rows(history, audit_event) if row["event"] == "capture.graded"]
    assert all(len(row["patient_key"]) == 64 for row in graded)


def test_verifying_writes_nothing(history: Ledger) -> None:
    before = cases.rows(history, audit_event)
    history.verify()
    assert cases.rows(history, audit_event) == before

"""No query of the daemon reads all of the history: each uses an index, on both databases.

The only exception counts all files when a full sweep begins. The tests read the databases' own
query plans; `fundusd bench --ledger` measures the time.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import orjson
import pytest
import sqlalchemy as sa
from tests import ledger_cases as cases

from fundusd.domain.clinical_terms import Reason
from fundusd.domain.files import IgnoreReason, Stat
from fundusd.ledger import Ledger, ViewQuery

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from fundusd.ledger import Claim

GROWING = (
    "job",
    "capture",
    "sighting",
    "result",
    "audit_event",
    "exam",
    "eye_result",
    "sent_document",
)
# with a LIMIT, these end at the first row
AT_ONE_END = {"SCAN audit_event", "SCAN audit_event USING INDEX ix_audit_event_started"}
NAMES = [f"P{number}/{number}.jpg" for number in range(3)]

Statements = list[tuple[str, Any]]


@pytest.fixture
def postgres_url(fresh_postgres_url: str) -> str:
    """Give a database of the test's own: plans depend on what was in the tables before."""
    return fresh_postgres_url


@contextmanager
def heard(ledger: Ledger) -> Iterator[Statements]:
    """Collect the statements of a block, with values to fill in."""
    statements: Statements = []

    def hear(
        _connection: object, _cursor: object, statement: str, parameters: Any, *_: object
    ) -> None:
        if statement.split(maxsplit=1)[0] in {"SELECT", "INSERT", "UPDATE", "DELETE", "WITH"}:
            statements.append(
                (statement, parameters[0] if isinstance(parameters, list) else parameters)
            )

    sa.event.listen(ledger.database.engine, "before_cursor_execute", hear)
    try:
        yield statements
    finally:
        sa.event.remove(ledger.database.engine, "before_cursor_execute", hear)


def walks(ledger: Ledger, statements: Statements) -> list[str]:
    """Return the plans that read a growing table from end to end."""
    walking = []
    with ledger.database.engine.connect() as connection:
        explain = _explain_sqlite if ledger.database.is_sqlite else _explain_postgres
        for statement, values in statements:
            steps = explain(connection, statement, values)
            walking += [f"{step}: {statement}" for step in steps]
        connection.rollback()
    return walking


def _explain_sqlite(connection: sa.Connection, statement: str, values: Any) -> list[str]:
    steps = [
        row.detail for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", values)
    ]
    if statement.split()[-4:-2] == ["LIMIT", "?"] and steps[0] in AT_ONE_END and len(steps) == 1:
        return []
    scans = [step for step in steps if step.split()[0] == "SCAN" and step.split()[1] in GROWING]
    return scans + [step for step in steps if _is_broad(step, statement)]


def _is_broad(step: str, statement: str) -> bool:
    """Return whether a search reads all jobs of a state, or all files of a camera."""
    states = (
        " job " in step and "(state=?)" in step and "job.id IN" in statement
    )  # only those that run are few
    return states or (" sighting " in step and step.endswith("(camera_id=?)"))


def _explain_postgres(connection: sa.Connection, statement: str, values: Any) -> list[str]:
    connection.exec_driver_sql(
        "SET enable_seqscan = off"
    )  # small tables are read whole where that is allowed
    answer = connection.exec_driver_sql(f"EXPLAIN (FORMAT JSON) {statement}", values).scalar_one()
    plan = (orjson.loads(answer) if isinstance(answer, str | bytes) else answer)[0]["Plan"]
    return [
        f"{node['Node Type']} on {node['Relation Name']}" for node in _nodes(plan) if _is_walk(node)
    ]


def _nodes(plan: dict[str, Any], above: str = "") -> Iterator[dict[str, Any]]:
    yield plan | {"above": above}
    for part in plan.get("Plans", ()):
        yield from _nodes(part, plan["Node Type"])


def _is_walk(node: dict[str, Any]) -> bool:
    if (
        node.get("Relation Name") not in GROWING or node["above"] == "Limit"
    ):  # which ends at the first row
        return False
    return node["Node Type"] == "Seq Scan" or (
        "Index" in node["Node Type"] and "Index Cond" not in node
    )


def claims(ledger: Ledger) -> list[Claim]:
    return ledger.claim(16)


def admit(ledger: Ledger, words: Sequence[str] = NAMES) -> None:
    ledger.admit(*(cases.found(name, word) for name, word in zip(NAMES, words, strict=True)))


def record(ledger: Ledger) -> None:
    ledger.record([cases.finding(claim) for claim in claims(ledger)])


def classified(ledger: Ledger) -> None:
    admit(ledger)
    record(ledger)


def move(ledger: Ledger) -> None:
    ledger.mark_missing(cases.CAMERA, [NAMES[0].encode()])
    stat = cases.found(NAMES[0], NAMES[0]).stat
    ledger.admit(cases.found("moved.jpg", NAMES[0], inode=stat.inode, mtime_ns=stat.mtime_ns))


def fail(ledger: Ledger) -> None:
    first, second, third = claims(ledger)
    ledger.postpone(first, Reason.TIMEOUT, "slow", 0)
    ledger.fail(second, Reason.TRUNCATED, "cut")
    ledger.give_back([third])


def jpegs_and_a_study(ledger: Ledger) -> None:
    """Record photographs of one visit: first JPEGs, then a study, and a JPEG beside it."""
    for name, study_uid in (("1.jpg", None), ("2.jpg", None), ("1.dcm", "1.2"), ("3.jpg", None)):
        content = replace(cases.CONTENT, study_uid=study_uid)
        ledger.record([cases.finding(cases.take(ledger, name, name), content)])


def sweep(ledger: Ledger) -> None:
    ledger.present(cases.CAMERA, [b"P1", b"P2"])
    ledger.present(cases.CAMERA, [b"P1"], [b"1.jpg", b"new.jpg"])
    ledger.named(cases.CAMERA, b"P1", [b"1.jpg", b"new.jpg"])
    ledger.remembered(cases.CAMERA, [b"P1", b"P2"])
    ledger.remembered(cases.CAMERA, below=b"P1")
    ledger.same_files([cases.found(NAMES[0], NAMES[0])])
    ledger.present_names(cases.CAMERA, b"P1", b"")
    ledger.ignore(cases.CAMERA, {b"P1/notes.xml": (Stat(1, 2, 3, 4), IgnoreReason.SIDECAR)})
    ledger.sweep_finished(cases.CAMERA, cases.SWEEP)


@pytest.mark.parametrize(
    ("before", "act"),
    [
        (lambda _: None, admit),
        (classified, admit),  # known bytes at known paths
        (classified, lambda ledger: admit(ledger, ["x", "y", "z"])),  # the next revision of each
        (
            classified,
            lambda ledger: admit(ledger, NAMES[::-1]),
        ),  # bytes that were classified elsewhere
        (classified, move),
        (admit, claims),
        (admit, record),
        (lambda _: None, jpegs_and_a_study),
        (admit, fail),
        (classified, sweep),
        (classified, lambda ledger: ledger.status()),
        (admit, lambda ledger: ledger.start(cases.release())),
    ],
    ids=[
        "new",
        "touched",
        "revised",
        "reused",
        "moved",
        "claimed",
        "recorded",
        "visit",
        "failed",
        "swept",
        "status",
        "start",
    ],
)
def test_no_query_walks_through_history(
    ledger: Ledger, before: Callable[[Ledger], None], act: Callable[[Ledger], object]
) -> None:
    before(ledger)
    with heard(ledger) as statements:
        act(ledger)
    assert statements
    assert walks(ledger, statements) == []


def test_a_query_that_would_is_found_out(ledger: Ledger) -> None:
    with heard(ledger) as statements, ledger.database.reading() as connection:
        connection.execute(sa.text("SELECT count(*) FROM capture WHERE size = 7"))
    assert len(walks(ledger, statements)) == 1


KEY = "0" * 64


@pytest.mark.parametrize(
    "asked",
    [
        ViewQuery("v_worklist", ("-urgency", "day", "exam_id", "eye"), limit=50),
        ViewQuery("v_person_exam", ("-day",), {"patient_key": KEY}),
        ViewQuery("v_eye_result", ("-day",), {"patient_key": KEY}),
        ViewQuery("v_review", ("-review_id",), {"patient_key": KEY}),
        ViewQuery("v_progression", ("-day",), {"patient_key": KEY}),
        ViewQuery("v_access", ("seq",), {"patient_key": KEY}),
        ViewQuery("v_provenance", (), {"capture_id": 1}),
        ViewQuery("v_backlog", ()),
        ViewQuery("v_failures_daily", ()),
        ViewQuery("v_turnaround_daily", (), since=("day", "2026-01-01")),
        ViewQuery("v_retake", (), since=("day", "2026-01-01")),
        ViewQuery("v_eye_result", (), {"day": "2026-01-01"}),
        ViewQuery("v_progression", (), since=("day", "2026-01-01")),
    ],
    ids=lambda asked: f"{asked.view} {' '.join([*asked.equal, *(asked.since or ())[:1]])}",
)
def test_a_view_is_answered_from_an_index(sqlite_url: str, asked: ViewQuery) -> None:
    """On SQLite: without statistics of real rows, PostgreSQL's plans of joins say little."""
    ledger = Ledger(sqlite_url)
    with heard(ledger) as statements:
        ledger.ask(asked)
    [(statement, values)] = statements
    with ledger.database.engine.connect() as connection:
        steps = [
            row.detail
            for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", values)
        ]
    ledger.close()
    # by their short names in the views: capture, exam, eye_result, job, review
    assert [
        step
        for step in steps
        if step.startswith("SCAN") and step.split()[1] in {*GROWING, *"cejrw"}
    ] == []

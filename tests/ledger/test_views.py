"""The views: the same on both databases, documented with examples, true to the program."""

from __future__ import annotations

import re
import statistics
import time
from collections import Counter, defaultdict
from contextlib import closing
from operator import itemgetter
from typing import TYPE_CHECKING, Any

import filling
import outside_reader
import pytest
import sqlalchemy as sa
import year
from tests import ledger_cases as cases
from tests.ledger.view_columns import COLUMNS

from fundusd.domain.clinical_terms import Reason
from fundusd.ledger import Ledger, ViewQuery, exam_queries, exams, views
from fundusd.ledger.tables import UTCTime, capture, exam

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.conftest import Postgres

VIEWS = views.definitions()
EXAMPLES = year.examples()


@pytest.fixture(scope="module")
def _utc() -> Iterator[None]:
    """Set the clinic's clock to UTC, because the page shows its days and weeks."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("TZ", "UTC")
        time.tzset()
        yield
    time.tzset()


@pytest.fixture(scope="module")
def on_sqlite(_utc: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ledger]:
    """Open the page's year on SQLite; no test writes into it."""
    with year.year(tmp_path_factory.mktemp("year"), *year.DOCUMENTED) as ledger:
        yield ledger


@pytest.fixture(scope="module")
def on_postgresql(on_sqlite: Ledger, postgres: Postgres) -> Iterator[Ledger]:
    """Open the same year on PostgreSQL."""
    name = postgres.create("migrated")
    with closing(Ledger(postgres.url(name))) as ledger:
        filling.copy(on_sqlite, ledger)
        yield ledger
    postgres.drop(name)


def rows(ledger: Ledger, view: str) -> list[dict[str, Any]]:
    names, values = outside_reader.read(ledger, f"SELECT * FROM {view}")  # noqa: S608  ours
    return [dict(zip(names, row, strict=True)) for row in values]


def test_all_rows_of_all_views_are_the_same_on_both_databases(
    on_sqlite: Ledger, on_postgresql: Ledger
) -> None:
    assert year.different(on_sqlite, on_postgresql, VIEWS) == []


def test_every_view_of_the_database_is_known_with_its_columns(on_sqlite: Ledger) -> None:
    assert set(sa.inspect(on_sqlite.database.engine).get_view_names()) == {*VIEWS, "view_digest"}
    assert VIEWS.keys() == COLUMNS.keys()
    for view, columns in COLUMNS.items():
        names, _ = outside_reader.read(on_sqlite, f"SELECT * FROM {view} LIMIT 0")  # noqa: S608
        assert names == columns.split()


def test_flags_and_times_are_recognised_by_their_names(on_postgresql: Ledger) -> None:
    """PostgreSQL has types for them; SQLite has none, so names must do."""
    inspector = sa.inspect(on_postgresql.database.engine)
    for view in VIEWS:
        for column in inspector.get_columns(view):
            name, stored = column["name"], column["type"]
            read = views.column(name).type
            assert isinstance(read, UTCTime) == isinstance(stored, sa.DateTime), (view, name)
            assert isinstance(read, sa.Boolean) == isinstance(stored, sa.Boolean), (view, name)


def test_a_view_is_created_after_those_that_it_reads() -> None:
    created: set[str] = set()
    for view, definition in VIEWS.items():
        reads = set(re.findall(r"(?:FROM|JOIN) (v_\w+)", definition))
        assert reads <= created, view
        created.add(view)


def test_every_view_holds_rows_and_has_an_example(on_sqlite: Ledger) -> None:
    assert {example.view for example in EXAMPLES} == set(VIEWS)
    assert [view for view in VIEWS if not rows(on_sqlite, view)] == ["v_incomplete"]


@pytest.mark.parametrize("example", EXAMPLES, ids=[example.view for example in EXAMPLES])
def test_the_example_answers_what_the_page_says_on_both_databases(
    on_sqlite: Ledger, on_postgresql: Ledger, example: year.Example
) -> None:
    for ledger in (on_sqlite, on_postgresql):
        assert year.answered(ledger, example.query) == example.answer


def test_every_column_is_named_on_the_page() -> None:
    sections = year.PAGE.read_text(encoding="utf-8").split("\n## ")
    for view, columns in COLUMNS.items():
        [section] = [part for part in sections if part.startswith(f"{view}\n")]
        words = set(re.findall(r"\w+", section))
        # named by their first and last, or by those of the other eye
        grouped = ("score_", "logit_", "mean_", "left_")
        for column in columns.split():
            assert column in words or column.startswith(grouped), f"{view}.{column}"


def test_the_generated_year_is_what_the_program_makes_of_it(on_sqlite: Ledger) -> None:
    assert on_sqlite.verify().broken_seq is None
    before = rows(on_sqlite, "v_eye_result")
    with on_sqlite.database.engine.connect() as connection:
        exams.rejudge(
            on_sqlite._recording(connection), connection.scalars(sa.select(exam.c.id)).all()
        )
        names = COLUMNS["v_eye_result"].split()
        names.remove("resulted_at")
        query = f"SELECT {', '.join(names)} FROM v_eye_result"  # noqa: S608
        again = connection.exec_driver_sql(query).all()
        connection.rollback()
    assert outside_reader.in_order(map(itemgetter(*names), before)) == outside_reader.in_order(
        again
    )


def test_what_an_eye_waits_for_is_what_the_rules_say(on_sqlite: Ledger) -> None:
    shown = {}
    for row in rows(on_sqlite, "v_eye_result"):
        shown[row["exam_id"], row["eye"]] = (row["waits_for"], row["reading_state"])
    with on_sqlite.database.reading() as connection:
        ids = sorted({exam_id for exam_id, _ in shown})
        judged = exam_queries.judged(connection, ids)
    wanted = {}
    for one in judged:
        for eye in one.eyes:
            wanted[one.exam_id, eye.eye] = (eye.waits_for, eye.state)
    assert shown == wanted
    waiting = {key: value[0] for key, value in shown.items() if value[0]}
    listed = {}
    for row in rows(on_sqlite, "v_worklist"):
        listed[row["exam_id"], row["eye"]] = row["waits_for"]
    assert listed == waiting


def test_turnarounds_are_exact(on_sqlite: Ledger) -> None:
    by_day: dict[str, list[int]] = defaultdict(list)
    for row in cases.rows(on_sqlite, capture):
        if row["outcome"] and not row["superseded"]:
            by_day[row["local_day"]].append(row["turnaround_ms"])
    for row in rows(on_sqlite, "v_turnaround_daily"):
        own = sorted(by_day.pop(row["day"]))
        assert row["median_ms"] == statistics.median(own)
        assert row["p95_ms"] == own[-(-95 * len(own) // 100) - 1]
        assert (row["captures"], row["max_ms"]) == (len(own), own[-1])
    assert not by_day


def test_weeks_count_what_the_captures_are(on_sqlite: Ledger) -> None:
    counted: Counter[tuple[str, str, str]] = Counter()
    for row in rows(on_sqlite, "v_result"):
        if not row["superseded"] and row["outcome"] not in {None, "failed"}:
            counted[row["camera_id"], row["outcome"], row["reason"] or ""] += 1
    weeks = rows(on_sqlite, "v_quality_weekly")
    for camera in {row["camera_id"] for row in weeks}:
        own = [row for row in weeks if row["camera_id"] == camera]
        for name in ("too_dark", "too_bright", "small"):
            assert sum(row[name] for row in own) == counted[camera, "ungradable", name]
        assert sum(row["graded"] for row in own) == counted[camera, "graded", ""]
    for row in rows(on_sqlite, "v_class_mix_weekly"):
        by_grade = itemgetter("no_dr", "mild", "moderate", "severe", "pdr")(row)
        assert sum(by_grade) == row["graded"]


def test_mean_scores_are_those_of_the_results(on_sqlite: Ledger) -> None:
    """To half a millionth, which is what a score is rounded to before it is added."""
    [week] = [row for row in rows(on_sqlite, "v_score_drift_weekly") if row["camera_id"] == "van"][
        :1
    ]
    captures = set()
    for row in cases.rows(on_sqlite, capture):
        if (row["local_week"], row["camera_id"]) == (week["week"], "van"):
            captures.add(row["id"])
    scores = []
    for row in rows(on_sqlite, "v_result"):
        if row["capture_id"] in captures and not row["superseded"] and row["grade"] is not None:
            scores.append(row["score_pdr"])
    assert week["mean_pdr"] == pytest.approx(statistics.fmean(scores), abs=1e-6)


# -- kept up by the program, not by the generator


def asked(ledger: Ledger, view: str) -> list[dict[str, Any]]:
    return ledger.ask(ViewQuery(view, ()))


def test_a_capture_that_is_overwritten_counts_in_its_exam_only(ledger: Ledger) -> None:
    cases.classify(ledger, "a_OD.jpg", "A")
    [week] = asked(ledger, "v_quality_weekly")
    assert (week["captures"], week["graded"]) == (1, 1)
    ledger.admit(cases.found("a_OD.jpg", "B"))
    for view in (
        "v_quality_weekly",
        "v_class_mix_weekly",
        "v_score_drift_weekly",
        "v_turnaround_daily",
    ):
        assert asked(ledger, view) == []
    assert [row["capture_id"] for row in asked(ledger, "v_worklist")] == [1]  # until it is excluded
    assert [row["state"] for row in asked(ledger, "v_backlog")] == ["queued"]


def test_bytes_that_come_again_count_again(ledger: Ledger) -> None:
    cases.classify(ledger, "a_OD.jpg", "A")
    ledger.admit(cases.found("b_OD.jpg", "A"))
    assert [row["graded"] for row in asked(ledger, "v_class_mix_weekly")] == [2]


def test_failures_are_counted_until_they_are_tried_again(ledger: Ledger) -> None:
    ledger.fail(cases.take(ledger, "cut.jpg", "cut"), Reason.TRUNCATED, "cut short")
    ledger.record([cases.refusal(cases.take(ledger, "hand.jpg", "hand"), Reason.NOT_RETINA)])
    failures = {}
    for row in asked(ledger, "v_failures_daily"):
        failures[row["outcome"], row["reason"]] = row["captures"]
    assert failures == {("failed", "truncated"): 1, ("refused", "not_retina"): 1}
    ledger.retry_failed()
    assert [row["outcome"] for row in asked(ledger, "v_failures_daily")] == ["refused"]


def test_whoever_asks_for_a_person_stands_in_the_view_of_access(ledger: Ledger) -> None:
    cases.classify(ledger, "a.jpg", "A")
    [first] = asked(ledger, "v_person_exam")
    key = str(first["patient_key"])
    person = ledger.person(key[:12])
    assert person["patient_key"] == key
    assert [row["exam_id"] for row in person["exams"]] == [first["exam_id"]]
    events = [row["event"] for row in asked(ledger, "v_access") if row["patient_key"] == key]
    assert events == ["capture.graded", "person.queried"]
    assert ledger.verify().broken_seq is None

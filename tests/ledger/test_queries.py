"""Queries of the ledger: v_result, results, accounts, status."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa
from tests import ledger_cases as cases
from tests.ledger.view_columns import COLUMNS

from fundusd.domain.clinical_terms import Outcome, Reason
from fundusd.domain.files import IgnoreReason, Stat
from fundusd.domain.inference import SelfTestResult
from fundusd.domain.jobs import JobState
from fundusd.ledger import Ledger, audit, daemons

if TYPE_CHECKING:
    from collections.abc import Iterable

REASONS = Path(__file__).parents[2] / "docs" / "reasons.md"
RESULT_COLUMNS = COLUMNS["v_result"].split()
TIMES = {"received_at", "result_at", "turnaround_ms"}


def scripted_history(ledger: Ledger) -> None:
    """Leave captures in every state and outcome, and revised, missing and shared ones."""
    cases.classify(ledger, "P1/a_OD.jpg", "A")
    ledger.admit(cases.found("P2/b_OS.jpg", "A"))
    cases.classify(ledger, "P1/a_OD.jpg", "B")
    for name, reason in (("dark.jpg", Reason.TOO_DARK), ("hand.jpg", Reason.NOT_RETINA)):
        ledger.record([cases.refusal(cases.take(ledger, name, name), reason)])
    ledger.record(
        [cases.refusal(cases.take(ledger, "oct.dcm", "oct"), Reason.WRONG_MODALITY, None)]
    )
    ledger.fail(cases.take(ledger, "cut.jpg", "cut"), Reason.TRUNCATED, "cut short")
    ledger.postpone(
        cases.take(ledger, b"caf\xe9.jpg", "late"), Reason.FILE_UNREADABLE, "share away", 600
    )
    cases.take(ledger, "now.jpg", "now")
    ledger.admit(cases.found("old.jpg", "old", backlog=True))
    ledger.ignore("cam", {b"note.xml": (Stat(1, 2, 3, 4), IgnoreReason.SIDECAR)})
    ledger.mark_missing("cam", [b"hand.jpg"])


def view(ledger: Ledger) -> list[dict[str, Any]]:
    """Read v_result as an outside reader would."""
    with ledger.database.reading() as connection:
        return [
            dict(row) for row in connection.execute(sa.text("SELECT * FROM v_result")).mappings()
        ]


def by_path(rows: Iterable[Any]) -> dict[str, Any]:
    return {row["path"]: row for row in rows}


def test_v_result_has_exactly_the_columns_of_the_contract(ledger: Ledger) -> None:
    with ledger.database.reading() as connection:
        assert list(connection.execute(sa.text("SELECT * FROM v_result")).keys()) == RESULT_COLUMNS


def test_v_result_is_the_same_on_both_databases(sqlite_url: str, postgres_url: str) -> None:
    answers = []
    for url in (sqlite_url, postgres_url):
        ledger = Ledger(url, site_key=cases.SITE_KEY)
        ledger.start(cases.release())
        ledger.register_camera(cases.CAMERA)
        scripted_history(ledger)
        assert ledger.verify().broken_seq is None
        rows = [dict(row) for row in ledger.results(superseded=True)]
        for row in rows:
            has_no_result = row["outcome"] in {None, "failed"}
            assert (row["result_at"] is None, row["turnaround_ms"] is None) == (has_no_result,) * 2
            for name in TIMES:
                row[name] = None
        answers.append(rows)
        ledger.close()
    assert answers[0] == answers[1]
    assert len(answers[0]) == 10


def test_v_result_has_one_row_per_capture_with_what_became_of_it(ledger: Ledger) -> None:
    scripted_history(ledger)
    rows = by_path(row for row in view(ledger) if not row["superseded"])
    stored = {
        path: (row["state"], row["outcome"], row["reason"], row["referable"])
        for path, row in rows.items()
    }
    assert stored == {
        "P1/a_OD.jpg": ("succeeded", "graded", None, "yes"),
        "P2/b_OS.jpg": ("succeeded", "graded", None, "yes"),
        "dark.jpg": ("succeeded", "ungradable", "too_dark", "indeterminate"),
        "hand.jpg": ("succeeded", "refused", "not_retina", "indeterminate"),
        "oct.dcm": ("succeeded", "refused", "wrong_modality", "indeterminate"),
        "cut.jpg": ("failed", "failed", "truncated", "indeterminate"),
        "caf\\xe9.jpg": ("queued", None, "file_unreadable", None),
        "now.jpg": ("running", None, None, None),
        "old.jpg": ("queued", None, None, None),
    }
    assert rows["cut.jpg"]["error"] == "cut short"
    assert rows["cut.jpg"]["action"] == "contact_it"
    graded = rows["P2/b_OS.jpg"]
    assert (graded["grade"], graded["grade_label"], graded["eye"]) == (2, "Moderate DR", "L")
    scores = [graded[column] for column in RESULT_COLUMNS if column.startswith("score_")]
    assert scores.index(max(scores)) == 2
    assert abs(sum(scores) - 1) < 1e-12


def test_v_result_shows_the_warnings_of_a_capture_as_plain_text(ledger: Ledger) -> None:
    two = replace(cases.CONTENT_OF_JPEG, warnings=("turned", "text_in_surround"))
    ledger.record([cases.finding(cases.take(ledger, "both.jpg", "both"), two)])
    single = replace(cases.CONTENT_OF_JPEG, warnings=("turned",))
    ledger.record([cases.finding(cases.take(ledger, "turned.jpg", "turned"), single)])
    cases.classify(ledger, "clean.jpg", "clean")
    ledger.admit(cases.found("waiting.jpg", "waiting"))
    warnings = {path: row["warnings"] for path, row in by_path(view(ledger)).items()}
    assert warnings == {
        "both.jpg": "turned, text_in_surround",
        "turned.jpg": "turned",
        "clean.jpg": None,
        "waiting.jpg": None,
    }
    assert {row["path"]: row["warnings"] for row in ledger.results()} == warnings


def test_the_query_on_the_page_of_reasons_finds_the_captures_with_a_warning(
    ledger: Ledger,
) -> None:
    swapped = replace(cases.CONTENT_OF_JPEG, warnings=("turned",), measures=cases.RIGHT_EYE)
    ledger.record([cases.finding(cases.take(ledger, "a_OS.jpg", "a"), swapped)])
    cases.classify(ledger, "clean.jpg", "clean")
    [query] = re.findall(r"```sql\n(.*?)```", REASONS.read_text(encoding="utf-8"), re.DOTALL)
    with ledger.database.reading() as connection:
        rows = [tuple(row) for row in connection.execute(sa.text(query))]
    assert rows == [(1, cases.CAMERA, "a_OS.jpg", "L", "turned, eye_contradicted")]


def test_each_grade_has_its_label_in_the_view(ledger: Ledger) -> None:
    for grade in range(5):
        claim = cases.take(ledger, f"{grade}.jpg", str(grade))
        logits = [1.0 if index == grade else 0.0 for index in range(5)]
        ledger.record([cases.finding(claim, logits=logits)])
    labels = [row["grade_label"] for row in sorted(view(ledger), key=lambda row: int(row["grade"]))]
    assert labels == ["No DR", "Mild DR", "Moderate DR", "Severe DR", "PDR"]


def test_results_can_be_asked_for_by_what_they_say(ledger: Ledger) -> None:
    scripted_history(ledger)
    ledger.register_camera("other")
    cases.classify(ledger, "c.jpg", "C", camera_id="other")

    def count(**wanted: Any) -> int:
        return len(list(ledger.results(**wanted)))

    assert count() == 10
    assert count(superseded=True) == 11
    assert count(camera_id="other") == 1
    assert count(grade=2) == 3
    assert count(grade=0) == 0
    assert count(referable="yes") == 3
    assert count(referable="indeterminate", outcome="refused") == 2
    assert count(outcome="failed") == 1
    assert count(limit=4) == 4
    now = datetime.now(UTC)
    assert count(since=now - timedelta(minutes=5)) == 10
    assert count(since=now + timedelta(minutes=5)) == 0


def test_results_come_newest_first_with_times_in_utc(ledger: Ledger) -> None:
    scripted_history(ledger)
    rows = list(ledger.results(superseded=True))
    assert [row["capture_id"] for row in rows] == sorted(
        (row["capture_id"] for row in rows), reverse=True
    )
    assert all(row["received_at"].tzinfo is UTC for row in rows)
    assert {type(row["superseded"]) for row in rows} == {bool}


def test_a_reader_of_results_may_stop_early(ledger: Ledger) -> None:
    scripted_history(ledger)
    for _ in range(30):  # more than there are connections
        assert next(iter(ledger.results()))["path"] == "old.jpg"
    ledger.admit(cases.found("more.jpg", "more"))


def test_reading_does_not_wait_for_writing(ledger: Ledger) -> None:
    scripted_history(ledger)
    with ledger.database.writing() as connection:
        connection.execute(sa.text("UPDATE job SET error = 'open'"))
        assert len(list(ledger.results())) == 9
        assert all(row["error"] != "open" for row in ledger.results())


def test_each_file_of_a_directory_is_accounted_for(ledger: Ledger) -> None:
    scripted_history(ledger)
    accounts = ledger.accounts("cam", b"")
    stored = {
        name: (account.state, account.outcome, account.reason) for name, account in accounts.items()
    }
    assert stored == {
        b"dark.jpg": (JobState.SUCCEEDED, Outcome.UNGRADABLE, "too_dark"),
        b"oct.dcm": (JobState.SUCCEEDED, Outcome.REFUSED, "wrong_modality"),
        b"cut.jpg": (JobState.FAILED, None, "truncated"),
        b"caf\xe9.jpg": (JobState.QUEUED, None, "file_unreadable"),
        b"now.jpg": (JobState.RUNNING, None, None),
        b"old.jpg": (JobState.QUEUED, None, None),
        b"note.xml": (None, None, None),
    }
    assert accounts[b"note.xml"].ignored is IgnoreReason.SIDECAR
    assert accounts[b"note.xml"].stat == Stat(1, 2, 3, 4)
    assert set(ledger.accounts("cam", b"P1")) == {b"a_OD.jpg"}
    assert ledger.remembered("cam").keys() == {b"", b"P1", b"P2"}


def test_status_counts_and_names_the_release_at_work(ledger: Ledger) -> None:
    scripted_history(ledger)
    ledger.sweep_finished("cam", cases.SWEEP)
    status = ledger.status()
    assert status["jobs"] == {"queued": 2, "running": 1, "succeeded": 5, "failed": 1}
    assert status["results"] == {"graded": 2, "ungradable": 1, "refused": 2}
    assert status["captures"] == 10
    assert 0 <= status["oldest_waiting_seconds"] < 300
    (camera,) = status["cameras"]
    assert (camera["id"], camera["files"], camera["ignored"], camera["mode"]) == (
        "cam",
        5,
        {"sidecar": 2},
        "native",
    )
    assert camera["last_sweep_at"].tzinfo is UTC
    assert status["model"]["model"] == "fundusd/phantom-1"


def test_status_follows_a_return_to_an_older_release(ledger: Ledger) -> None:
    ledger.start(cases.release(2))
    assert ledger.status()["model"]["model"] == "fundusd/phantom-2"
    ledger.start(cases.release(1))
    assert ledger.status()["model"]["model"] == "fundusd/phantom-1"


def test_status_of_a_new_database_is_empty(store_url: str) -> None:
    ledger = Ledger(store_url)
    status = ledger.status()
    assert status["jobs"] == {"queued": 0, "running": 0, "succeeded": 0, "failed": 0}
    assert (status["oldest_waiting_seconds"], status["cameras"], status["model"]) == (
        None,
        [],
        None,
    )
    assert ledger.retry_failed() == 0
    assert list(ledger.results()) == []
    ledger.close()


def test_the_last_canary_is_told_whatever_came_since(ledger: Ledger) -> None:
    assert cases.last_canary(ledger) is None
    ledger.model_verified(SelfTestResult(0.99999975, 0.999999))
    cases.classify(ledger)
    canary = cases.last_canary(ledger)
    assert canary is not None
    assert (canary.passed, canary.cosine) == (True, 0.99999975)
    assert canary.vouches_for(ledger.release_id)
    assert not canary.vouches_for(ledger.release_id + 1)
    ledger.model_refused("wrong")
    refused = cases.last_canary(ledger)
    assert refused is not None
    assert not refused.vouches_for(ledger.release_id)
    shown = ledger.status()["canary"]
    assert (shown["passed"], shown["cosine"]) == (False, None)
    assert abs(datetime.now(UTC) - datetime.fromisoformat(shown["at"])) < timedelta(minutes=5)
    assert ledger.verify().broken_seq is None


def test_a_canary_is_not_looked_for_in_all_of_history(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger.model_verified(SelfTestResult(1.0, 0.999999))
    cases.classify(ledger)
    monkeypatch.setattr(daemons, "_NEWEST_EVENTS", 2)
    assert cases.last_canary(ledger) is None


def test_a_model_is_in_doubt_after_a_refusal_and_where_another_release_passed_last(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not ledger.is_in_doubt(), "nothing is known"
    ledger.model_verified(SelfTestResult(1.0, 0.999999))
    assert not ledger.is_in_doubt()
    ours = ledger.release_id
    ledger.start(replace(cases.release(), dtype="bfloat16"))
    assert ledger.is_in_doubt()
    ledger.release_id = ours
    ledger.model_refused("wrong")
    assert ledger.is_in_doubt()
    monkeypatch.setattr(
        audit,
        "_actor",
        lambda: {"actor_kind": "process", "actor_id": "fundusd:x", "host": "another"},
    )
    ledger.model_verified(SelfTestResult(1.0, 0.999999))
    assert ledger.is_in_doubt(), "that another daemon's model passed says nothing of this one"
    ledger.model_refused("wrong")
    monkeypatch.undo()
    ledger.model_verified(SelfTestResult(1.0, 0.999999))
    assert not ledger.is_in_doubt()

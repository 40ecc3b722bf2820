"""fundusd outbox lists what waits, and what is held back until a reader has settled it."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from tests import daemon_cases, ledger_cases
from tests.outbox.outbox_cases import graded, subscriptions

from fundusd.cli.commands import command_line
from fundusd.domain.delivery import REMOVE
from fundusd.ledger import Ledger

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def test_a9_the_outbox_lists_what_a_receiver_waits_for(
    sqlite_url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = daemon_cases.site(tmp_path, sqlite_url)
    (tmp_path / "sheets").mkdir()
    inbox = tmp_path / "photographs"
    inbox.mkdir()
    with place.path.open("a") as file:
        file.write(
            f"""
[[receiver]]
id = "sheets"
document = "csv"
when = "reviewed"
folder = "{tmp_path}/sheets"
"""
        )
    ledger = Ledger(sqlite_url, site_key=ledger_cases.SITE_KEY)
    ledger.upgrade()
    ledger.start(ledger_cases.release())
    ledger.register_camera(ledger_cases.CAMERA)
    graded(ledger, inbox)
    ledger.close()

    command_line()(["outbox", "--json", "--config", str(place.path)], standalone_mode=False)
    [held] = json.loads(capsys.readouterr().out)
    assert (held["receiver"], held["exam_id"], held["state"]) == ("sheets", 1, "held back")
    assert held["waits_for"] == ["left eye not read"]
    command_line()(["outbox", "--config", str(place.path)], standalone_mode=False)
    printed = capsys.readouterr().out
    for word in ("held", "back", "left", "eye", "not", "read"):
        assert word in printed
    command_line()(
        ["outbox", "--state", "failed", "--json", "--config", str(place.path)],
        standalone_mode=False,
    )
    assert json.loads(capsys.readouterr().out) == []


def test_the_outbox_lists_what_is_open_before_what_was_delivered_today(
    sqlite_url: str, tmp_path: Path
) -> None:
    kinds = {"first": "csv", "second": "csv", "old": "csv"}
    ledger = Ledger(
        sqlite_url, site_key=ledger_cases.SITE_KEY, subscriptions=subscriptions(**kinds)
    )
    ledger.upgrade()
    ledger.start(ledger_cases.release())
    ledger.register_camera(ledger_cases.CAMERA)
    graded(ledger, tmp_path)
    for receiver in ("second", "old"):
        due = ledger.due(receiver)
        assert due is not None
        ledger.delivered(due, "200 OK", 1)
    ledger_cases.execute(
        ledger, "UPDATE delivery SET delivered_at = '2026-01-01 00:00:00' WHERE receiver = 'old'"
    )

    listed = [(row["receiver"], row["state"]) for row in ledger.deliveries(None, 9)]
    assert listed == [("first", "queued"), ("second", "delivered")]
    assert len(ledger.deliveries(None, 1)) == 1
    ledger.close()


def test_v33_the_advice_to_remove_a_report_comes_before_what_was_delivered(
    sqlite_url: str, tmp_path: Path
) -> None:
    kinds = {"first": "csv", "second": "csv", "advised": "csv", "open": "csv"}
    ledger = Ledger(
        sqlite_url, site_key=ledger_cases.SITE_KEY, subscriptions=subscriptions(**kinds)
    )
    ledger.upgrade()
    ledger.start(ledger_cases.release())
    ledger.register_camera(ledger_cases.CAMERA)
    graded(ledger, tmp_path)
    for receiver in ("advised", "first", "second"):
        due = ledger.due(receiver)
        assert due is not None
        ledger.delivered(due, f"200; {REMOVE}" if receiver == "advised" else "200 OK", 1)
    last_week = datetime.now(UTC) - timedelta(days=7)
    ledger_cases.execute(
        ledger,
        "UPDATE delivery SET delivered_at = :at WHERE receiver = 'advised'",
        at=f"{last_week:%Y-%m-%d %H:%M:%S}.000000",
    )
    listed = [row["receiver"] for row in ledger.deliveries(None, 2)]
    assert listed == ["open", "advised"]
    ledger.close()

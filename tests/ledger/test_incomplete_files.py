"""Offline inboxes and incomplete files are stored alike on both databases."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa
from tests import ledger_cases as cases

from fundusd.domain.files import InboxState, IncompleteFile, OfflineReason, WaitReason

if TYPE_CHECKING:
    from fundusd.ledger import Ledger

AT = datetime(2026, 11, 24, 8, tzinfo=UTC)
ODD = b"P1/\xff\n.jpg"  # no UTF-8


def view(ledger: Ledger, name: str, *columns: str) -> list[tuple[object, ...]]:
    with ledger.database.reading() as connection:
        return [
            tuple(row)
            for row in connection.execute(sa.text(f"SELECT {', '.join(columns)} FROM {name}"))  # noqa: S608
        ]


def test_an_outage_is_written_down_once_with_its_beginning(ledger: Ledger) -> None:
    begun = cases.last_seq(ledger)
    ledger.offline(cases.CAMERA, None)
    assert cases.events(ledger, after=begun) == []
    ledger.offline(cases.CAMERA, OfflineReason.MISSING)
    (camera,) = ledger.status()["cameras"]
    assert camera["offline_reason"] == "missing"
    ledger.offline(cases.CAMERA, OfflineReason.MISSING)
    ledger.offline(cases.CAMERA, OfflineReason.EMPTY)
    (later,) = ledger.status()["cameras"]
    assert (later["offline_reason"], later["offline_since"]) == ("empty", camera["offline_since"])
    assert view(ledger, "v_camera", "camera_id", "offline_reason") == [(cases.CAMERA, "empty")]
    ledger.offline(cases.CAMERA, None)
    assert view(ledger, "v_camera", "offline_reason", "offline_since") == [(None, None)]
    assert cases.events(ledger, after=begun) == [
        "camera.offline",
        "camera.offline",
        "camera.online",
    ]
    assert [detail["reason"] for detail in cases.details(ledger, "camera.offline")] == [
        "missing",
        "empty",
    ]
    assert ledger.verify().broken_seq is None


def test_where_an_inbox_lay_is_remembered(ledger: Ledger) -> None:
    assert ledger.whereabouts(cases.CAMERA) == InboxState(None, None, None)
    ledger.found_at(cases.CAMERA, "8:1")
    ledger.offline(cases.CAMERA, OfflineReason.EMPTY)
    state = ledger.whereabouts(cases.CAMERA)
    assert (state.place, state.offline_reason) == ("8:1", OfflineReason.EMPTY)
    assert state.offline_since is not None


def test_files_that_are_not_complete_are_replaced_as_a_whole(ledger: Ledger) -> None:
    first = {
        ODD: IncompleteFile(WaitReason.HELD, 7, AT),
        b"OS.jpg": IncompleteFile(
            WaitReason.EMPTY, 0, AT + timedelta(hours=1), AT + timedelta(hours=2)
        ),
    }
    ledger.keep_incomplete(cases.CAMERA, first)
    assert ledger.incomplete_files(cases.CAMERA) == first
    (camera,) = ledger.status()["cameras"]
    assert camera["incomplete"] == {"files": 2, "quarantined": 1, "since": AT}
    shown = view(ledger, "v_incomplete", "camera_id", "path", "reason", "size")
    assert sorted(shown) == [
        (cases.CAMERA, "OS.jpg", "empty", 0),
        (cases.CAMERA, "P1/\\xff\n.jpg", "held", 7),
    ]
    ledger.keep_incomplete(cases.CAMERA, {ODD: first[ODD]})
    assert ledger.incomplete_files(cases.CAMERA) == {ODD: first[ODD]}
    ledger.keep_incomplete(cases.CAMERA, {})
    (camera,) = ledger.status()["cameras"]
    assert camera["incomplete"] is None


def test_a_reason_that_is_none_is_refused_by_the_database(ledger: Ledger) -> None:
    with pytest.raises(sa.exc.IntegrityError):
        cases.execute(ledger, "UPDATE camera SET offline_reason = 'tired'")

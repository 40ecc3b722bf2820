"""Lists of files and folders that `fundusd reconcile` prints have an end."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fundusd.app.reconcile import Reconciliation
from fundusd.cli import reconcile
from fundusd.cli.options import TABLE_ROWS

if TYPE_CHECKING:
    import pytest


def test_long_lists_end_with_how_many_more_there_are(capsys: pytest.CaptureFixture[str]) -> None:
    inbox = Reconciliation("room1", unaccounted=[b"%d.jpg" % n for n in range(TABLE_ROWS + 2)])
    inbox.unreadable = {b"day%d" % n: "Permission denied" for n in range(TABLE_ROWS + 3)}
    reconcile._print([inbox, Reconciliation("room2", unreadable={b"": "Gone"})], wide=False)
    printed = capsys.readouterr().out
    assert printed.count(".jpg") == TABLE_ROWS
    assert printed.count("the folder day") == TABLE_ROWS
    assert "room1: 2 more; --json names all" in printed
    assert "room1: 3 more; --json names all" in printed
    assert "room2: the inbox CANNOT BE LISTED (Gone)" in printed
    assert "room2: 0 more" not in printed

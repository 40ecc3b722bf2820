"""Commands that only look at a database that is not there say so, and leave nothing behind."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests import daemon_cases
from tests.cli.test_commands import RunCommand, fundusd

from fundusd.domain.errors import ExitStatus

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["fundusd"]  # a fixture

LOOKING = [
    *("status", "status --json", "results", "worklist", "reconcile", "audit verify", "db check"),
    *("show 1", "report quality", "outbox", "follow-up list", "retry --failed"),
    *("review record 1 R agree --reader lee", "correct include 1 --reader okafor"),
]


@pytest.mark.parametrize("command", LOOKING)
def test_a_command_that_looks_creates_nothing(
    fundusd: RunCommand, tmp_path: Path, command: str
) -> None:
    place = daemon_cases.site(tmp_path, f"sqlite:///{tmp_path}/fundusd.db")
    before = set(tmp_path.iterdir())
    ended = fundusd(*command.split(), "--config", place.path)
    assert ended.code == ExitStatus.NO_INPUT, ended.err
    assert f"There is no database {tmp_path}/fundusd.db" in ended.err
    assert set(tmp_path.iterdir()) == before


def test_check_creates_nothing_either(fundusd: RunCommand, tmp_path: Path) -> None:
    place = daemon_cases.site(tmp_path, f"sqlite:///{tmp_path}/fundusd.db")
    before = set(tmp_path.iterdir())
    assert "created at the first start" in fundusd("check", "--config", place.path).out
    assert set(tmp_path.iterdir()) == before

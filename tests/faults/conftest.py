"""Which faults run: a chosen half; all of them, and the matrix, with FUNDUSD_FAULTS=all."""

from __future__ import annotations

import os
from collections import Counter
from typing import TYPE_CHECKING

import pytest
from tests import daemon_cases
from tests.faults import matrix
from tests.faults.launcher import Launcher

if TYPE_CHECKING:
    from collections.abc import Iterator

    from _pytest.terminal import TerminalReporter

ALL = os.environ.get("FUNDUSD_FAULTS") == "all"
ROW = os.environ.get("FUNDUSD_FAULTS_ROW", "")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Skip the other half, with the reason; keep one row's tests where one is asked for."""
    for item in items:
        if not ALL and item.get_closest_marker("all_faults"):
            item.add_marker(pytest.mark.skip(reason="one of very many: make faults runs it"))
    if ROW:
        asked = next(row for row in matrix.rows() if row.number == int(ROW))
        others = [item for item in items if not asked.covers(item.nodeid)]
        items[:] = [item for item in items if asked.covers(item.nodeid)]
        config.hook.pytest_deselected(items=others)


@pytest.fixture
def postgres_url(fresh_postgres_url: str) -> str:
    """Give each fault a fresh database: what it leaves behind affects no other test."""
    return fresh_postgres_url


@pytest.fixture(scope="package", autouse=True)
def launcher() -> Iterator[None]:
    """Fork the daemons of these tests, where nothing forbids it."""
    daemon_cases.launcher = Launcher()
    yield
    daemon_cases.launcher.close()
    daemon_cases.launcher = None


@pytest.fixture(autouse=True)
def untraced(monkeypatch: pytest.MonkeyPatch) -> None:
    """Run these daemons without coverage: it slows each start, and other tests cover the code."""
    monkeypatch.delenv("COVERAGE_PROCESS_CONFIG", raising=False)


def pytest_terminal_summary(terminalreporter: TerminalReporter) -> None:
    """Print the matrix with a verdict on each row."""
    if not ALL:
        return
    kinds = ("passed", "failed", "error", "skipped", "xfailed")
    ran = {kind: [report.nodeid for report in terminalreporter.getreports(kind)] for kind in kinds}
    verdicts = matrix.verdicts(ran)
    terminalreporter.section("docs/faults.md")
    for row, verdict in verdicts:
        terminalreporter.write_line(f"{row.number:4} {verdict:8} {row.fault}: {row.moment}")
    counts = dict(Counter(verdict for _, verdict in verdicts))
    terminalreporter.write_line(f"{len(verdicts)} rows: {counts}")

"""What the daemon logs when it starts."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import pytest
from structlog.testing import capture_logs
from tests import ledger_cases

from fundusd.app import daemon


@pytest.mark.parametrize(
    ("rule", "events"),
    [
        ("icdr>=2/argmax", ["service.started"]),
        ("icdr>=2/sum>=0.9", ["service.started", "rule.unsafe"]),
    ],
)
def test_a14_an_unsafe_rule_is_logged_at_the_start(rule: str, events: list[str]) -> None:
    release = replace(ledger_cases.release(), referable_rule=rule)
    planned = SimpleNamespace(release=release, runtime=SimpleNamespace(device_name="cpu"))
    with capture_logs() as lines:
        daemon._log_start(planned, SimpleNamespace(release_id=1), 0)  # type: ignore[arg-type]
    assert [line["event"] for line in lines] == events
    assert all(line["log_level"] == "warning" for line in lines[1:])

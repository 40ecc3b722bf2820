"""The log tells of each turn of a camera's pictures."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import structlog
from tests import ledger_cases as cases
from tests.ledger_cases import RIGHT_EYE

from fundusd.worker.inference import ClassifiedBatch
from fundusd.worker.recording import ResultRecorder
from fundusd.worker.rules import WorkerRules

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from fundusd.ledger import Ledger

# the same right eye, turned by 90 degrees clockwise
TURNED = RIGHT_EYE | {
    "optic_disc_x": 0.1,
    "optic_disc_y": 0.55,
    "macula_x": -0.05,
    "macula_y": -0.1,
}


MIRRORED = RIGHT_EYE | {"optic_disc_x": -0.55, "macula_x": 0.1}


class Camera:
    """Delivers photographs of right eyes, some at a time, to a worker's recorder."""

    def __init__(self, ledger: Ledger) -> None:
        structlog.reset_defaults()
        self.ledger = ledger
        rules = WorkerRules(batch_size=10, retry_seconds=(), max_bytes=1000, decoders=1, model="m")
        self.recorder = ResultRecorder(ledger, rules)
        self.count = 0

    def deliver(self, measures: dict[str, float], count: int = 10) -> None:
        names = [f"{self.count + number}_OD.jpg" for number in range(count)]
        self.count += len(names)
        self.ledger.admit(*[cases.found(name, name) for name in names])
        content = replace(cases.CONTENT_OF_JPEG, measures=measures)
        findings = [cases.finding(claim, content) for claim in self.ledger.claim(count)]
        read_ms = {finding.claim.job_id: 1.0 for finding in findings}
        self.recorder.record(ClassifiedBatch(findings, [], read_ms))


def turns(lines: Sequence[Mapping[str, object]]) -> list[tuple[object, object]]:
    """Return the former and the present orientation of each turn in the log."""
    told = [line for line in lines if line["event"] == "camera.turned"]
    assert all(line["log_level"] == "warning" for line in told)
    assert all(line["camera"] == cases.CAMERA for line in told)
    return [(line["former"], line["orientation"]) for line in told]


def test_a_turned_camera_is_told_once_and_within_a_hundred_captures(ledger: Ledger) -> None:
    camera = Camera(ledger)
    with structlog.testing.capture_logs() as lines:
        for _ in range(6):
            camera.deliver(RIGHT_EYE)
        assert turns(lines) == []
        for _ in range(4):
            camera.deliver(TURNED)
    assert turns(lines) == [("normal", "turned_right")]


def test_every_turn_of_a_camera_is_told(ledger: Ledger) -> None:
    camera = Camera(ledger)
    with structlog.testing.capture_logs() as lines:
        for measures in (RIGHT_EYE, TURNED, RIGHT_EYE, TURNED):
            for _ in range(6):
                camera.deliver(measures)
    assert turns(lines) == [("normal", "turned_right")] * 2


def test_a_camera_that_is_turned_from_the_beginning_is_told_once(ledger: Ledger) -> None:
    camera = Camera(ledger)
    with structlog.testing.capture_logs() as lines:
        for _ in range(6):
            camera.deliver(TURNED)
    assert turns(lines) == [("normal", "turned_right")]


def test_a_camera_whose_captures_disagree_is_told_once(ledger: Ledger) -> None:
    camera = Camera(ledger)
    with structlog.testing.capture_logs() as lines:
        for _ in range(3):
            camera.deliver(RIGHT_EYE | {"optic_disc_certainty": 0.0})
        assert turns(lines) == []
        for _ in range(2):
            camera.deliver(TURNED, 5)
            camera.deliver(MIRRORED, 5)
    assert turns(lines) == [("normal", "unclear")]

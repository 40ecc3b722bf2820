"""The log tells, once, that a camera's pictures are turned in another way than before."""

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
    from fundusd.ledger import Ledger

# the same right eye, turned by 90 degrees clockwise
TURNED = RIGHT_EYE | {
    "optic_disc_x": 0.1,
    "optic_disc_y": 0.55,
    "macula_x": -0.05,
    "macula_y": -0.1,
}


class Camera:
    """Delivers photographs of right eyes, ten at a time, to a worker's recorder."""

    def __init__(self, ledger: Ledger) -> None:
        structlog.reset_defaults()
        self.ledger = ledger
        rules = WorkerRules(batch_size=10, retry_seconds=(), max_bytes=1000, decoders=1, model="m")
        self.recorder = ResultRecorder(ledger, rules)
        self.count = 0

    def deliver(self, measures: dict[str, float]) -> None:
        names = [f"{self.count + number}_OD.jpg" for number in range(10)]
        self.count += len(names)
        self.ledger.admit(*[cases.found(name, name) for name in names])
        content = replace(cases.CONTENT_OF_JPEG, measures=measures)
        findings = [cases.finding(claim, content) for claim in self.ledger.claim(10)]
        read_ms = {finding.claim.job_id: 1.0 for finding in findings}
        self.recorder.record(ClassifiedBatch(findings, [], read_ms))


def test_a_turned_camera_is_told_once_and_within_a_hundred_captures(ledger: Ledger) -> None:
    camera = Camera(ledger)
    with structlog.testing.capture_logs() as lines:
        for _ in range(6):
            camera.deliver(RIGHT_EYE)
        assert not [line for line in lines if line["event"] == "camera.turned"]
        for _ in range(4):
            camera.deliver(TURNED)
    (told,) = [line for line in lines if line["event"] == "camera.turned"]
    assert (told["camera"], told["former"], told["orientation"]) == (
        cases.CAMERA,
        "normal",
        "turned_right",
    )
    assert told["log_level"] == "warning"


def test_a_camera_that_stays_as_it_was_is_not_told(ledger: Ledger) -> None:
    camera = Camera(ledger)
    with structlog.testing.capture_logs() as lines:
        for _ in range(6):
            camera.deliver(TURNED)
    assert not [line for line in lines if line["event"] == "camera.turned"]

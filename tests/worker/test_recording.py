"""What a worker records and logs of captures that cannot be used."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
import structlog
from tests import ledger_cases as cases

from fundusd.domain.clinical_terms import Eye, EyeSource, Reason
from fundusd.domain.decoding import Decoded
from fundusd.worker.inference import ClassifiedBatch
from fundusd.worker.preparation import PreparedJob
from fundusd.worker.recording import ResultRecorder
from fundusd.worker.rules import WorkerRules

if TYPE_CHECKING:
    from fundusd.ledger import Ledger

RULES = WorkerRules(batch_size=10, retry_seconds=(), max_bytes=1000, decoders=1, model="m")
CUT_SHORT = replace(cases.CONTENT, warnings=("burned_in_annotation",))


@pytest.fixture(autouse=True)
def defaults() -> None:
    structlog.reset_defaults()


def test_what_the_header_of_a_failed_capture_says_is_recorded(ledger: Ledger) -> None:
    claim = cases.take(ledger, "cut.dcm", "cut")
    job = PreparedJob(claim, Decoded(CUT_SHORT, Reason.TRUNCATED, None, 2.0), 1.0)
    with structlog.testing.capture_logs() as lines:
        ResultRecorder(ledger, RULES).record(
            ClassifiedBatch([], [(job, Reason.TRUNCATED)], {claim.job_id: 1.0})
        )
    [capture] = cases.captures(ledger)
    assert (capture["eye"], capture["warnings"]) == ("L", '["burned_in_annotation"]')
    exam = ledger.exam_of(capture["id"])
    assert exam is not None
    assert exam.eyes[0].reason is Reason.TRUNCATED
    [line] = lines
    assert (line["event"], line["log_level"]) == ("capture.failed", "warning")


@pytest.mark.parametrize(("x", "level"), [(0.55, "info"), (-0.55, "warning")])
def test_an_eye_that_the_pixels_contradict_is_logged_as_a_warning(
    ledger: Ledger, x: float, level: str
) -> None:
    measures = cases.RIGHT_EYE | {"optic_disc_x": x, "macula_x": -x / 5}
    content = replace(
        cases.CONTENT_OF_JPEG, measures=measures, eye=Eye.RIGHT, eye_source=EyeSource.LATERALITY
    )
    with structlog.testing.capture_logs() as lines:
        for number in range(2):
            claim = cases.take(ledger, f"{number}.jpg", str(number))
            findings = [cases.finding(claim, content)]
            read_ms = {claim.job_id: 1.0}
            ResultRecorder(ledger, RULES).record(ClassifiedBatch(findings, [], read_ms))
    graded = [line["log_level"] for line in lines if line["event"] == "capture.graded"]
    assert graded[0] == level

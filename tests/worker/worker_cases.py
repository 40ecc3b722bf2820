"""A worker on a real ledger, with a classifier that answers by the first pixel."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from tests import ledger_cases

from fundusd.clinical.quality_thresholds import Thresholds
from fundusd.domain.clinical_terms import Reason
from fundusd.domain.decoding import Content, Decoded, MediaType
from fundusd.domain.files import SettledFile, Stat
from fundusd.domain.inference import Classifier, SelfTestResult
from fundusd.files.filesystem import place_of
from fundusd.ledger import Ledger
from fundusd.worker.rules import WorkerRules
from fundusd.worker.service import Worker

if TYPE_CHECKING:
    from fundusd.domain.decoding import Pixels
    from fundusd.domain.inference import Logits

BAD = 66  # the value of a pixel that a classifier stumbles over


class Plain:
    """Answers by the first pixel; records the sizes of its batches."""

    overlaps = False

    def __init__(self) -> None:
        self.forward_limit = 16
        self.sizes: list[int] = []
        self.proven = 0

    def begin(self, pixels: Pixels) -> Callable[[], Logits]:
        return partial(self.logits, pixels)

    def logits(self, pixels: Pixels) -> Logits:
        self.sizes.append(len(pixels))
        return np.eye(5, dtype=np.float32)[pixels[:, 0, 0, 0] % 5]

    def run_self_test(self) -> Iterator[SelfTestResult]:
        self.proven += 1
        yield SelfTestResult(0.9999999, 0.999999)
        yield SelfTestResult(1.0, 0.999999)

    def require_unchanged(self, beat: Callable[[], None]) -> list[str]:
        return []


class Overlapping(Plain):
    """Computes when asked for the answer; never holds more than two batches."""

    overlaps = True

    def __init__(self, trouble: Exception | None = None) -> None:
        super().__init__()
        self.flying = 0
        self.most = 0
        self.trouble = trouble

    def begin(self, pixels: Pixels) -> Callable[[], Logits]:
        self.flying += 1
        self.most = max(self.most, self.flying)

        def answer() -> Logits:
            self.flying -= 1
            if self.trouble is not None:
                raise self.trouble
            return self.logits(pixels)

        return answer


class FirstByte:
    """Decodes a file to a square of its first byte; 255 is not a retina, 254 breaks the decoder."""

    def decode(self, data: bytes, thresholds: Thresholds) -> Decoded:
        content = Content(MediaType.JPEG, 2, 2)
        if data[0] == 255:
            return Decoded(content, Reason.NOT_RETINA, None, 1.0)
        if data[0] == 254:
            raise ZeroDivisionError
        return Decoded(content, None, np.full((2, 2, 3), data[0], np.uint8), 1.0)


class Bench:
    """A ledger, an inbox and a worker that runs until its work is done."""

    def __init__(self, ledger: Ledger, inbox: Path) -> None:
        self.ledger = ledger
        self.inbox = inbox
        ledger.found_at(ledger_cases.CAMERA, str(place_of(inbox)))

    def drop(self, values: Sequence[int]) -> None:
        for number, value in enumerate(values):
            name = f"{number}.jpg"
            data = bytes([value, number])
            (self.inbox / name).write_bytes(data)
            stat = Stat(2, number, number, number)
            digest = hashlib.sha256(data).hexdigest()
            self.ledger.admit(
                SettledFile(
                    ledger_cases.CAMERA, name.encode(), stat, digest, hinted=True, backlog=False
                )
            )

    def work(self, classifier: Classifier, **changes: Any) -> None:
        """Run the worker until nothing waits; `changes` go to its rules."""
        stop = threading.Event()

        def beat() -> None:
            jobs = self.ledger.status()["jobs"]
            if not jobs["queued"] + jobs["running"]:
                stop.set()

        rules = WorkerRules(
            batch_size=8, retry_seconds=(), max_bytes=1000, decoders=2, model="test"
        )
        rules = replace(rules, **changes)
        Worker(
            self.ledger,
            lambda: classifier,
            FirstByte(),
            {ledger_cases.CAMERA: self.inbox},
            rules,
            beat,
        ).run(stop)

    def outcomes(self) -> dict[str, tuple[str | None, str | int | None]]:
        """Return outcome and grade or reason by file name."""
        rows = self.ledger.results()
        return {row["path"]: (row["outcome"], row["reason"] or row["grade"]) for row in rows}

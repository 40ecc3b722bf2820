"""Classify photographs one by one, without a ledger."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from fundusd.app.factory import decoder_pool, load_classifier
from fundusd.clinical import grading
from fundusd.domain.errors import ModelError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fundusd.app.settings import Settings
    from fundusd.clinical.grading import Grading
    from fundusd.domain.decoding import Decoded
    from fundusd.imaging.decoder_pool import DecoderPool
    from fundusd.model.classifier import ZeroShotClassifier


class Classification:
    """A loaded model and a decoder; called with the bytes of a photograph, it grades them."""

    def __init__(self, classifier: ZeroShotClassifier, pool: DecoderPool) -> None:
        self.release = classifier.release
        self._classifier = classifier
        self._pool = pool

    def __call__(self, data: bytes) -> tuple[Decoded, Grading | None]:
        """Decode and grade the bytes of one photograph; raises ModelError."""
        decoded = self._pool.decode(data)
        if decoded.pixels is None:
            return decoded, None
        logits = self._classifier.logits(decoded.pixels[None])[0].tolist()
        if not grading.is_usable(logits):
            raise ModelError(
                "The model's answer contains infinite or missing numbers.",
                hint="Run: fundusd model verify",
            )
        return decoded, grading.grade(logits, grading.Rule.parse(self.release.referable_rule))


@contextmanager
def classification(settings: Settings) -> Iterator[Classification]:
    """Load the model and start one decoder for as long as the block runs; raises ModelError."""
    classifier = load_classifier(settings)
    with decoder_pool(settings, classifier.side, 1) as pool:
        yield Classification(classifier, pool)

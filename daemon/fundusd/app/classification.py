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
    """A callable that decodes and grades one photograph at a time, with a loaded model."""

    def __init__(self, classifier: ZeroShotClassifier, pool: DecoderPool) -> None:
        self.release = classifier.release
        self._classifier = classifier
        self._pool = pool

    def __call__(self, data: bytes) -> tuple[Decoded, Grading | None]:
        """Decode and grade one photograph.

        The grading is None if the photograph was rejected. Raises ModelError if the model's answer
        is unusable.
        """
        decoded = self._pool.decode(data)
        if decoded.pixels is None:
            return decoded, None
        logits = self._classifier.logits(decoded.pixels[None])[0].tolist()
        if not grading.is_usable(logits):
            raise ModelError(
                "The model's answer contains numbers that are infinite or undefined.",
                hint="Run: fundusd model verify",
            )
        return decoded, grading.grade(logits, grading.Rule.parse(self.release.referable_rule))


@contextmanager
def classification(settings: Settings) -> Iterator[Classification]:
    """Load the model, start one decoder, and yield the Classification.

    Raises ModelError if the model cannot be used, or SettingsError if the settings are wrong.
    """
    classifier = load_classifier(settings)
    with decoder_pool(settings, classifier.side, 1) as pool:
        yield Classification(classifier, pool)

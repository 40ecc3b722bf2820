"""The classifier: a backend that runs the vision tower, and a head in fp32 that follows it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from fundusd.domain.decoding import Pixels
    from fundusd.domain.inference import Embeddings, Logits, Release, SelfTestResult
    from fundusd.model.file_integrity import WatchedFiles
    from fundusd.model.self_test import Backend, SelfTest


@dataclass(frozen=True, slots=True)
class Head:
    """The computation of logits from pooled embeddings, in fp32.

    In bf16, logits near -18 could differ only in steps of 0.125.
    """

    texts: Embeddings  # [5, d], unit length, one per grade
    scale: Embeddings  # after exp
    bias: Embeddings

    def logits(self, pooled: Embeddings) -> Logits:
        """Return the logits [b, 5] of pooled embeddings [b, d]."""
        images = pooled / np.linalg.norm(pooled, axis=1, keepdims=True)
        # one at a time: a matrix product sums in an order that depends on the number of rows
        cosines = np.stack([self.texts @ image for image in images])
        logits: Logits = cosines * self.scale + self.bias
        return logits


@dataclass(frozen=True, slots=True)
class ZeroShotClassifier:
    """A loaded model that has passed its self-test."""

    release: Release
    side: int
    device_name: str
    forward_limit: int  # the most captures in a forward pass
    overlaps: bool  # a second forward pass may start before the first is collected
    self_test_result: SelfTestResult  # of the self-test at loading
    _backend: Backend
    _head: Head
    _self_test: SelfTest
    _files: WatchedFiles

    def embed(self, pixels: Pixels) -> Embeddings:
        """Return the pooled embeddings, fp32 [b, d], of uint8 RGB images [b, side, side, 3].

        Raises OutOfMemory if the batch does not fit in the device's memory.
        """
        return self._backend.embed(self._checked(pixels))

    def logits(self, pixels: Pixels) -> Logits:
        """Return the raw logits, fp32 [b, 5], of uint8 RGB images [b, side, side, 3].

        Raises OutOfMemory if the batch does not fit in the device's memory.
        """
        return self._head.logits(self.embed(pixels))

    def begin(self, pixels: Pixels) -> Callable[[], Logits]:
        """Start a forward pass of up to `forward_limit` captures.

        Returns a function that waits for their logits and must be called exactly once.
        """
        embeddings = self._backend.begin(self._checked(pixels))
        return lambda: self._head.logits(embeddings())

    def run_self_test(self) -> Iterator[SelfTestResult]:
        """Repeat the self-test on whole phantoms, yielding one result per forward pass.

        One other batch may be in flight at the same time. Raises ModelRefused if the model fails.
        """
        return self._self_test.thorough()

    def require_unchanged(self, beat: Callable[[], None]) -> list[str]:
        """Return the names of the model files that were touched but still have the same content.

        Raises ModelError if a file has changed or is gone.
        """
        return self._files.require_unchanged(beat)

    def _checked(self, pixels: Pixels) -> Pixels:
        if pixels.dtype != np.uint8 or pixels.shape[1:] != (self.side, self.side, 3):
            raise ValueError(f"pixels must be uint8 [b, {self.side}, {self.side}, 3]")
        return np.ascontiguousarray(pixels)

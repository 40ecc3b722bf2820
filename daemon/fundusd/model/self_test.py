"""Compare a loaded model's embeddings of phantoms with those of transformers in fp32."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Protocol, TypeVar

import numpy as np
from safetensors.numpy import load_file

from fundusd.domain.errors import ModelRefused
from fundusd.domain.inference import SelfTestResult

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from fundusd.domain.decoding import Pixels
    from fundusd.domain.inference import Embeddings, Logits, Release
    from fundusd.model.prepared_parts import Part

Output = TypeVar("Output")

_IN_FLIGHT = 2
KNOWN_ANSWERS_FILE = "known.safetensors"
NOT_FINITE = "The model computes numbers that are not finite."
NOT_FINITE_HINT = (
    "The weights are damaged, or model.dtype does not suit them. "
    "Try float32, then get the weights again."
)
# The least cosine to transformers' fp32 embedding. With even a random checkpoint, two different
# phantoms have a lower cosine.
MIN_COSINES = {"float32": 0.999999, "bfloat16": 0.9999}


class Backend(Protocol):
    """A library that runs the vision tower on a device."""

    @property
    def limit(self) -> int:
        """Return the largest number of images that should be embedded in one forward pass."""
        ...

    @property
    def overlaps(self) -> bool:
        """Return whether a second batch may start while the first is being computed."""
        ...

    @property
    def can_probe(self) -> bool:
        """Return whether the first rows of an image suffice for the self-test."""
        ...

    def embed(self, pixels: Pixels) -> Embeddings:
        """Return the pooled embeddings, fp32 [b, d], of uint8 images [b, side, side, 3].

        Raises OutOfMemory if the batch does not fit in the device's memory.
        """
        ...

    def begin(self, pixels: Pixels) -> Callable[[], Embeddings]:
        """Start embedding up to `limit` images.

        Returns a function that waits for the embeddings and must be called exactly once.
        """
        ...

    def probe(self, pixels: Pixels) -> Embeddings:
        """Return the embeddings of only the first rows of each image."""
        ...


@dataclass(frozen=True, slots=True)
class KnownAnswers:
    """Phantoms and their expected embeddings, in fp32."""

    pixels: Pixels  # [n, side, side, 3]
    embeddings: Embeddings  # [n, d]
    probe: Embeddings  # [1, d], of the first phantom's first rows


def read_known_answers(part: Part) -> KnownAnswers:
    """Return the phantoms and expected embeddings stored in a prepared part."""
    tensors = load_file(part.path(KNOWN_ANSWERS_FILE))
    return KnownAnswers(tensors["pixels"], tensors["embeddings"], tensors["probe"])


@dataclass(frozen=True, slots=True)
class SelfTest:
    """The test that a model must pass at startup and every night.

    Its methods raise ModelRefused if the model fails.
    """

    backend: Backend
    head: Callable[[Embeddings], Logits]
    known: KnownAnswers
    release: Release

    def quick(self) -> SelfTestResult:
        """Run the shortest test, which also warms up the backend.

        If the backend can probe, an eighth of a phantom is enough, since embedding it uses every
        weight. Otherwise, whole phantoms are tested with each batch size and, if batches can
        overlap, with two in flight.
        """
        if self.backend.can_probe:
            probe = self._computed(lambda: self.backend.probe(self.known.pixels[:1]))
            return self._compare(probe, self.known.probe)
        results = list(self._at_each_size())
        if self.backend.overlaps:
            self._compare_in_flight()
        return min(results)

    def thorough(self) -> Iterator[SelfTestResult]:
        """Test whole phantoms of all grades, yielding a result after each forward pass."""
        yield from self._at_each_size()
        for index in range(1, len(self.known.pixels)):
            yield self._test_images([index])

    def _at_each_size(self) -> Iterator[SelfTestResult]:
        limit = self.backend.limit
        sizes = {limit}
        for power in range(limit.bit_length()):
            sizes.add(2**power)
        for size in sorted(sizes):
            yield self._test_images([number % len(self.known.pixels) for number in range(size)])

    def _test_images(self, chosen: list[int]) -> SelfTestResult:
        embeddings = self._computed(lambda: self.backend.embed(self.known.pixels[chosen]))
        return self._compare(embeddings, self.known.embeddings[chosen])

    def _compare_in_flight(self) -> None:
        """Check at several batch sizes that the results of batches in flight are not swapped."""
        count = len(self.known.pixels)
        largest = [(number + 1) % count for number in range(self.backend.limit)]
        in_flight: deque[tuple[list[int], Callable[[], Embeddings]]] = deque()
        for chosen in ([0], largest, [1], [2 % count], largest[::-1], [0]):
            begin = partial(self.backend.begin, self.known.pixels[chosen])
            in_flight.append((chosen, self._computed(begin)))
            if len(in_flight) == _IN_FLIGHT:
                self._collect(*in_flight.popleft())
        while in_flight:
            self._collect(*in_flight.popleft())

    def _collect(self, chosen: list[int], embeddings: Callable[[], Embeddings]) -> None:
        self._compare(self._computed(embeddings), self.known.embeddings[chosen])

    def _computed(self, compute: Callable[[], Output]) -> Output:
        try:
            return compute()
        except RuntimeError as error:
            first_line = str(error).partition("\n")[0]
            raise ModelRefused(
                f"{self.release.runtime} fails on a known image ({first_line}).",
                hint="Run: fundusd model verify; if that fails, report the driver and its version.",
            ) from error

    def _compare(self, embeddings: Embeddings, expected: Embeddings) -> SelfTestResult:
        if not (np.isfinite(embeddings).all() and np.isfinite(self.head(embeddings)).all()):
            raise ModelRefused(NOT_FINITE, hint=NOT_FINITE_HINT)
        lengths = np.linalg.norm(embeddings, axis=1) * np.linalg.norm(expected, axis=1)
        cosine = float(((embeddings * expected).sum(axis=1) / lengths).min())
        tolerance = MIN_COSINES[self.release.dtype]
        if cosine < tolerance:
            raise ModelRefused(
                f"{self.release.runtime} in {self.release.dtype} computes wrong embeddings: "
                f"the cosine to a known answer is {cosine:.7f}, but must be at least {tolerance}.",
                hint="Set model.dtype to float32 or model.device to cpu. "
                "If that helps, report the driver and its version.",
            )
        return SelfTestResult(cosine, tolerance)

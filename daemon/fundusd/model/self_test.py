"""Compare a loaded model's answers to known phantoms with what transformers gives them in fp32."""

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

Answer = TypeVar("Answer")

_IN_FLIGHT = 2
FILE = "known.safetensors"
# cosine to transformers' own fp32 embedding; two phantoms of a random checkpoint differ by more
NEAREST = {"float32": 0.999999, "bfloat16": 0.9999}


class Backend(Protocol):
    """What computes the vision tower."""

    @property
    def limit(self) -> int:
        """Return how many pictures one forward should take at most."""
        ...

    @property
    def overlaps(self) -> bool:
        """Tell whether a second batch may be begun while the first is computed."""
        ...

    @property
    def probes(self) -> bool:
        """Tell whether the first rows of a picture suffice to prove it."""
        ...

    def embed(self, pixels: Pixels) -> Embeddings:
        """Turn uint8 [b, side, side, 3] into pooled embeddings, fp32 [b, d]; raises OutOfMemory."""
        ...

    def begin(self, pixels: Pixels) -> Callable[[], Embeddings]:
        """Start to embed up to `limit` pictures; the answer is waited for by calling what is returned, once."""
        ...

    def probe(self, pixels: Pixels) -> Embeddings:
        """Embed only the first rows of each picture."""
        ...


@dataclass(frozen=True, slots=True)
class Known:
    """Phantoms, and what is known of them."""

    pixels: Pixels  # [n, side, side, 3]
    embeddings: Embeddings  # [n, d]
    probe: Embeddings  # [1, d], of the first one's first rows


def read(part: Part) -> Known:
    """Read what was prepared."""
    told = load_file(part.path(FILE))
    return Known(told["pixels"], told["embeddings"], told["probe"])


@dataclass(frozen=True, slots=True)
class Gate:
    """What a model must pass before it serves, and each night again; everything raises ModelRefused."""

    backend: Backend
    head: Callable[[Embeddings], Logits]
    known: Known
    release: Release

    def start(self) -> SelfTestResult:
        """Prove it in the least time; it warms up what serves later, too.

        A CPU is proven by an eighth of one phantom, which touches every weight; a device with graphs at each of their
        sizes, and with two batches under way.
        """
        if self.backend.probes:
            return self._compare(
                self._asked(lambda: self.backend.probe(self.known.pixels[:1])), self.known.probe
            )
        results = list(self._at_each_size())
        if self.backend.overlaps:
            self._compare_in_flight()
        return min(results)

    def thorough(self) -> Iterator[SelfTestResult]:
        """Prove it on whole phantoms of every grade, forward by forward; needs one place in flight."""
        yield from self._at_each_size()
        for index in range(1, len(self.known.pixels)):
            yield self._whole([index])

    def _at_each_size(self) -> Iterator[SelfTestResult]:
        limit = self.backend.limit
        for size in sorted({limit} | {2**power for power in range(limit.bit_length())}):
            yield self._whole([number % len(self.known.pixels) for number in range(size)])

    def _whole(self, chosen: list[int]) -> SelfTestResult:
        embeddings = self._asked(lambda: self.backend.embed(self.known.pixels[chosen]))
        return self._compare(embeddings, self.known.embeddings[chosen])

    def _compare_in_flight(self) -> None:
        """See that batches of several sizes, two under way at once, get their own answers: all else hides a swap."""
        count = len(self.known.pixels)
        largest = [(number + 1) % count for number in range(self.backend.limit)]
        flying: deque[tuple[list[int], Callable[[], Embeddings]]] = deque()
        for chosen in ([0], largest, [1], [2 % count], largest[::-1], [0]):
            flying.append(
                (chosen, self._asked(partial(self.backend.begin, self.known.pixels[chosen])))
            )
            if len(flying) == _IN_FLIGHT:
                self._land(*flying.popleft())
        while flying:
            self._land(*flying.popleft())

    def _land(self, chosen: list[int], answer: Callable[[], Embeddings]) -> None:
        self._compare(self._asked(answer), self.known.embeddings[chosen])

    def _asked(self, ask: Callable[[], Answer]) -> Answer:
        try:
            return ask()
        except RuntimeError as error:
            raise ModelRefused(
                f"{self.release.runtime} breaks on a known picture ({str(error).partition(chr(10))[0]})",
                hint="run: fundusd model verify; if that fails, report the driver and its version",
            ) from error

    def _compare(self, embeddings: Embeddings, expected: Embeddings) -> SelfTestResult:
        if not (np.isfinite(embeddings).all() and np.isfinite(self.head(embeddings)).all()):
            raise ModelRefused(
                "the model answers with numbers that are not finite",
                hint="the weights are damaged, or unfit for model.dtype: try float32, then get the weights again",
            )
        lengths = np.linalg.norm(embeddings, axis=1) * np.linalg.norm(expected, axis=1)
        cosine, tolerance = (
            float(((embeddings * expected).sum(axis=1) / lengths).min()),
            NEAREST[self.release.dtype],
        )
        if cosine < tolerance:
            raise ModelRefused(
                f"{self.release.runtime} in {self.release.dtype} does not compute what the model is: its answer to a "
                f"known picture has cosine {cosine:.7f} to the right one, wanted {tolerance}",
                hint="set model.dtype to float32 or model.device to cpu; if that helps, report the driver and its "
                "version",
            )
        return SelfTestResult(cosine, tolerance)

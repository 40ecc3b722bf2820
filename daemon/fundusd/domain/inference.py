"""The release that determines the scores, and the interface of the model to the worker."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    import numpy as np
    import numpy.typing as npt

    from fundusd.domain.decoding import Pixels

    Logits = npt.NDArray[np.float32]
    Embeddings = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Release:
    """Everything that determines a score; any change makes a new release."""

    model: str
    revision: str
    weights_digest: str
    tokenizer_digest: str
    files: Mapping[str, str]  # file name -> sha256, hex
    preprocessing: str
    prompt_set: str
    prompt_digest: str
    head: str
    referable_rule: str
    quality_gate: str
    dtype: str
    runtime: str  # backend, its version, device
    program_version: str


class SelfTestResult(NamedTuple):
    """The similarity between the model's output for known phantoms and the expected output."""

    cosine: float
    tolerance: float  # the minimum cosine for the dtype


class Classifier(Protocol):
    """The interface of the model to the worker; only one thread may call the model."""

    @property
    def forward_limit(self) -> int:
        """Return the maximum number of captures in a batch."""
        ...

    @property
    def overlaps(self) -> bool:
        """Return whether a batch may start before the logits of the previous one are taken."""
        ...

    def begin(self, pixels: Pixels) -> Callable[[], Logits]:
        """Start a batch of up to `forward_limit` captures, and return a function that waits for it.

        The function returns the logits and may be called only once.
        """
        ...

    def logits(self, pixels: Pixels) -> Logits:
        """Classify images, uint8 [b, side, side, 3], and return raw logits, float32 [b, 5].

        Raises OutOfMemory if the batch does not fit into the memory of the device.
        """
        ...

    def run_self_test(self) -> Iterator[SelfTestResult]:
        """Classify known phantoms again, and yield one result per batch.

        Another batch may be in progress at the same time. Raises ModelRefused if the model does not
        give the expected answers.
        """
        ...

    def require_unchanged(self, beat: Callable[[], None]) -> list[str]:
        """Verify the model's files, and return the names of those that were only touched.

        Raises ModelError if a file has changed or is gone.
        """
        ...

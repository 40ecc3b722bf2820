"""What fixes a score, and the model as the worker sees it."""

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
    """Everything that fixes a number; nothing that changes a score may change without a new one."""

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
    """How near a model's answers to known phantoms are to the right ones, and how near they must be."""

    cosine: float
    tolerance: float  # of its dtype


class Classifier(Protocol):
    """The model as the worker sees it; owned and called by one thread only."""

    @property
    def forward_limit(self) -> int:
        """Return how many captures one forward should take at most."""
        ...

    @property
    def overlaps(self) -> bool:
        """Tell whether a second forward may be begun before the answer of the first is taken."""
        ...

    def begin(self, pixels: Pixels) -> Callable[[], Logits]:
        """Start on up to `forward_limit` captures; calling what is returned waits for their logits, once."""
        ...

    def logits(self, pixels: Pixels) -> Logits:
        """Classify uint8 [b, side, side, 3] into float32 [b, 5] raw logits; raises OutOfMemory."""
        ...

    def run_self_test(self) -> Iterator[SelfTestResult]:
        """Answer known phantoms again, forward by forward; raises ModelRefused. One batch may be in flight."""
        ...

    def require_unchanged(self, beat: Callable[[], None]) -> list[str]:
        """Return files of the model that were touched; raises ModelError for one that changed, or is gone."""
        ...

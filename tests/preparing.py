"""Prepare models in the test process, which has imported torch and transformers already.

A process of its own takes seven seconds of imports each time.
"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import pytest

from fundusd.model import prepare

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from fundusd.model.checkpoint import Checkpoint
    from fundusd.model.prompts import PromptSet

_prepare_in_own_process = prepare.prepare


def _prepare_here(
    checkpoint: Checkpoint,
    prompts: PromptSet,
    names: list[str],
    on_wait: Callable[[], None] = lambda: None,
) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # as in that process: pytest would raise them as errors
        prepare._make(checkpoint, prompts, names)
    on_wait()


@pytest.fixture(scope="package", autouse=True)
def prepare_here() -> Iterator[None]:
    """Prepare models in this process."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(prepare, "prepare", _prepare_here)
        yield


@pytest.fixture
def own_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Prepare models in a process of its own, as the service does."""
    monkeypatch.setattr(prepare, "prepare", _prepare_in_own_process)

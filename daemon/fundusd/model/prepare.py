"""Make the parts that `run` maps: prompts embedded, the vision tower alone, known phantoms.

The only place that reads a whole checkpoint; it runs in a process of its own, so that neither transformers nor the
text tower nor the peak of converting ever touch the daemon.
"""

from __future__ import annotations

import ctypes
import os
import signal
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict
from multiprocessing import get_context
from typing import TYPE_CHECKING, Any

from fundusd.domain.errors import ModelError
from fundusd.model.prepared_parts import PreparedParts

if TYPE_CHECKING:
    from collections.abc import Callable

    from fundusd.model.checkpoint import Checkpoint
    from fundusd.model.device import Runtime
    from fundusd.model.prompts import PromptSet

KNOWN = "known"
_POLL_SECONDS = 2.0
_SET_PDEATHSIG = 1  # prctl(2)


def prompts_part(prompts: PromptSet) -> str:
    """Name the part that holds an embedded prompt set."""
    return f"prompts-{prompts.digest[:16]}"


def tower_part(backend: str, dtype: str) -> str:
    """Name the part that holds the tower; openvino narrows the exact one by itself."""
    return "openvino-float32" if backend == "openvino" else f"torch-{dtype}"


def parts(prompts: PromptSet, backend: str, dtype: str) -> tuple[str, str, str]:
    """Name the parts that are served together: known phantoms, prompts, tower."""
    return KNOWN, prompts_part(prompts), tower_part(backend, dtype)


def missing(checkpoint: Checkpoint, prompts: PromptSet, runtime: Runtime) -> list[str]:
    """Name the parts that are not there yet."""
    prepared = PreparedParts(checkpoint)
    wanted = parts(prompts, runtime.backend, runtime.dtype)
    return [name for name in wanted if prepared.find(name) is None]


def prepare(
    checkpoint: Checkpoint,
    prompts: PromptSet,
    names: list[str],
    on_wait: Callable[[], None] = lambda: None,
) -> None:
    """Make parts in a process of their own, calling `on_wait` every two seconds; raises ModelError.

    What another process has made by then is left as it is: that process may have it mapped already.
    """
    context = get_context("spawn")
    with ProcessPoolExecutor(1, context, initializer=_end_with, initargs=(os.getpid(),)) as pool:
        making = pool.submit(_make, checkpoint, prompts, names)
        while True:
            try:
                making.result(timeout=_POLL_SECONDS)
            except TimeoutError:
                on_wait()
            except BrokenProcessPool as error:
                raise ModelError(
                    "the process that prepares the model ended before it was done",
                    hint="it was killed, likely for want of memory: it needs the size of the whole checkpoint once",
                ) from error
            else:
                return


def _end_with(parent: int) -> None:
    """Die with a parent that is killed: else this waits for more work for ever, a checkpoint in memory."""
    ctypes.CDLL(None).prctl(_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


def _make(checkpoint: Checkpoint, prompts: PromptSet, names: list[str]) -> None:
    prepared = PreparedParts(checkpoint)
    with prepared.locked():
        if wanted := [
            name for name in names if (part := prepared.find(name)) is None or not part.is_intact()
        ]:
            _make_wanted(checkpoint, prompts, wanted, prepared)


def _make_wanted(
    checkpoint: Checkpoint, prompts: PromptSet, names: list[str], prepared: PreparedParts
) -> None:
    from fundusd.model import export, transformers_loader

    model = transformers_loader.read(checkpoint)
    facts = {
        "checkpoint": checkpoint.label,
        "revision": checkpoint.revision,
        "made_with": transformers_loader.versions(),
    }
    shape = export.shape_of(model, checkpoint)
    for name in names:
        more: dict[str, Any] = {"shape": asdict(shape)}
        with prepared.writing(name, facts | more) as place:
            match name.split("-"):
                case ["known"]:
                    export.write_known(model, shape, place)
                case ["prompts", _]:
                    export.write_prompts(model, checkpoint, prompts, place)
                case ["torch", dtype]:
                    export.write_tower(model, shape, dtype, place)
                case ["openvino", _]:
                    export.write_openvino(model, shape, place)
                case _:
                    raise ValueError(name)

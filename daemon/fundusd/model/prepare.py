"""Create the parts that `run` maps: embedded prompts, the bare vision tower and known answers.

Only this module reads a whole checkpoint. It does so in a separate process, which keeps
transformers, the text tower and the memory peak of the conversion out of the daemon.
"""

from __future__ import annotations

import ctypes
import os
import signal
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from dataclasses import asdict
from multiprocessing import get_context
from typing import TYPE_CHECKING, Any

from fundusd.domain.errors import ModelError
from fundusd.model.prepared_parts import PreparedParts

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from fundusd.model.checkpoint import Checkpoint
    from fundusd.model.device import Runtime
    from fundusd.model.prompts import PromptSet

KNOWN = "known"
_POLL_SECONDS = 2.0
_SET_PDEATHSIG = 1  # prctl(2)


def prompts_part(prompts: PromptSet) -> str:
    """Return the name of the part that contains the embeddings of a prompt set."""
    return f"prompts-{prompts.digest[:16]}"


def tower_part(backend: str, dtype: str) -> str:
    """Return the name of the part that contains the vision tower.

    For OpenVINO, the part is always in fp32, since OpenVINO itself converts it.
    """
    if backend == "openvino":
        return "openvino-float32"
    return f"torch-{dtype}"


def parts(prompts: PromptSet, backend: str, dtype: str) -> tuple[str, str, str]:
    """Return the names of a model's parts: known answers, prompts and tower."""
    return KNOWN, prompts_part(prompts), tower_part(backend, dtype)


def missing(checkpoint: Checkpoint, prompts: PromptSet, runtime: Runtime) -> list[str]:
    """Return the names of the parts that do not exist yet."""
    prepared = PreparedParts(checkpoint)
    names = parts(prompts, runtime.backend, runtime.dtype)
    return [name for name in names if prepared.find(name) is None]


def prepare(
    checkpoint: Checkpoint,
    prompts: PromptSet,
    names: list[str],
    on_wait: Callable[[], None] = lambda: None,
) -> None:
    """Create parts in a separate process, calling `on_wait` every two seconds.

    Intact parts that another process has created in the meantime are kept, since that process may
    already have mapped them. Raises ModelError if a part cannot be created.
    """
    context = get_context("spawn")
    with ProcessPoolExecutor(
        1, context, initializer=_end_with_parent, initargs=(os.getpid(),)
    ) as pool:
        with _folder_to_start_in():
            making = pool.submit(_make, checkpoint, prompts, names)
        while True:
            try:
                making.result(timeout=_POLL_SECONDS)
            except TimeoutError:
                on_wait()
            except BrokenProcessPool as error:
                raise ModelError(
                    "The process that prepares the model ended too early.",
                    hint="It was probably killed for lack of memory, "
                    "of which it needs the size of the whole checkpoint.",
                ) from error
            else:
                return


@contextmanager
def _folder_to_start_in() -> Iterator[None]:
    """Work in / while the block runs, if the present folder cannot be entered by its path.

    A new process enters the folder of its parent. After sudo, that may lie in the closed home of
    another user; it may also have been removed.
    """
    present = None
    try:
        present = os.open(".", os.O_PATH)
        os.chdir(os.getcwd())  # noqa: PTH109  the path alone matters
    except OSError:
        os.chdir("/")
    try:
        yield
    finally:
        if present is not None:
            with suppress(OSError):
                os.fchdir(present)
            os.close(present)


def _end_with_parent(parent: int) -> None:
    """Make this process end when its parent is killed, instead of waiting forever for more work."""
    ctypes.CDLL(None).prctl(_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


def _make(checkpoint: Checkpoint, prompts: PromptSet, names: list[str]) -> None:
    prepared = PreparedParts(checkpoint)
    with prepared.locked():
        missing_names = []
        for name in names:
            part = prepared.find(name)
            if part is None or not part.is_intact():
                missing_names.append(name)
        if missing_names:
            _make_missing(checkpoint, prompts, missing_names, prepared)


def _make_missing(
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
        with prepared.writing(name, facts | more) as folder:
            match name.split("-"):
                case ["known"]:
                    export.write_known(model, shape, folder)
                case ["prompts", _]:
                    export.write_prompts(model, checkpoint, prompts, folder)
                case ["torch", dtype]:
                    export.write_tower(model, shape, dtype, folder)
                case ["openvino", _]:
                    export.write_openvino(model, shape, folder)
                case _:
                    raise ValueError(name)

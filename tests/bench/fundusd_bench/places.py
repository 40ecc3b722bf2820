"""Where the bench keeps what it makes once: the checkpoint and the captures."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from fundusd.domain.errors import RequestError
from fundusd.model import prepared_parts as model_cache
from fundusd.model.locate import MANIFEST, ModelChoice, find

if TYPE_CHECKING:
    from pathlib import Path

    from fundusd.model.checkpoint import Checkpoint, Progress

CHECKPOINT_GB = 3.5
_ROOM_GB = 5.0  # the checkpoint, the captures and some databases
_NAME = "medsiglip-448-random-1"


def cache() -> Path:
    """Return the folder that outlives a run, beside what is prepared of models."""
    return model_cache.folder() / "bench"


def random_checkpoint() -> Path:
    """Return where the random checkpoint of full size lies, made or not."""
    return cache() / _NAME


def is_made(folder: Path) -> bool:
    """Tell whether a checkpoint was written whole."""
    return (folder / MANIFEST).is_file()


def require_room(folder: Path, gigabytes: float = _ROOM_GB) -> None:
    """Make a folder, and raise RequestError where its disk has too little room."""
    folder.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(folder).free / 1e9
    if free < gigabytes:
        raise RequestError(
            f"{folder} has {free:.1f} GB free, and {gigabytes:.2g} GB are needed for what is measured.",
            hint="Set XDG_CACHE_HOME to a folder on a larger disk; a checkpoint may lie elsewhere: --checkpoint DIR.",
        )


def make_checkpoint(on_progress: Progress) -> None:
    """Write the random checkpoint of full size; raises RequestError."""
    require_room(cache())
    from fundusd_bench import random_checkpoint as writer  # torch

    writer.write(random_checkpoint(), on_progress=on_progress)


def verified(folder: Path, on_progress: Progress | None = None) -> Checkpoint:
    """Hash a checkpoint, which also brings it into the page cache; raises ModelError."""
    return find(ModelChoice(str(folder.absolute())), on_progress)

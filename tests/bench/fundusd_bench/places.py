"""Locate what the benchmark makes only once: the checkpoint and the captures."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from fundusd.domain.errors import RequestError
from fundusd.model.locate import MANIFEST, ModelChoice, find
from fundusd.model.prepared_parts import cache_folder

if TYPE_CHECKING:
    from pathlib import Path

    from fundusd.model.checkpoint import Checkpoint, Progress

CHECKPOINT_GB = 3.5
_ROOM_GB = 5.0  # for the checkpoint, the captures and databases
_NAME = "medsiglip-448-random-1"


def cache() -> Path:
    """Return the folder that outlives a run, in fundusd's cache directory."""
    return cache_folder() / "bench"


def random_checkpoint() -> Path:
    """Return the path of the random checkpoint of full size, which may not exist yet."""
    return cache() / _NAME


def is_made(folder: Path) -> bool:
    """Return whether a checkpoint was written completely."""
    return (folder / MANIFEST).is_file()


def require_room(folder: Path, gigabytes: float = _ROOM_GB) -> None:
    """Create a folder; raises RequestError if its disk has too little space."""
    folder.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(folder).free / 1e9
    if free < gigabytes:
        raise RequestError(
            f"{folder} has {free:.1f} GB free, but the benchmark needs {gigabytes:.2g} GB.",
            hint="Set XDG_CACHE_HOME to a folder on a larger disk; "
            "a checkpoint may be elsewhere: --checkpoint DIR.",
        )


def make_checkpoint(on_progress: Progress) -> None:
    """Write the random checkpoint of full size; raises RequestError."""
    require_room(cache())
    from fundusd_bench import random_checkpoint as writer  # torch

    writer.write(random_checkpoint(), on_progress=on_progress)


def verified(folder: Path, on_progress: Progress | None = None) -> Checkpoint:
    """Return a checkpoint after hashing it, which also fills the page cache; raises ModelError."""
    return find(ModelChoice(str(folder.absolute())), on_progress)

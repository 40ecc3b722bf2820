"""Say what is wrong with an inbox that cannot be listed, and what to do."""

from __future__ import annotations

import os
import shlex
from typing import TYPE_CHECKING, NamedTuple

from fundusd.files.owners import user_name

if TYPE_CHECKING:
    from pathlib import Path


class Trouble(NamedTuple):
    """What is wrong with a folder, as a phrase that names it, and what to do."""

    problem: str
    hint: str


def look(folder: Path) -> Trouble | None:
    """Return what is wrong with a folder, or None if it can be listed."""
    try:
        os.scandir(folder).close()
    except OSError as error:
        return of(folder, error)
    return None


def of(folder: Path, error: OSError) -> Trouble:
    """Return what is wrong with a folder that cannot be listed."""
    if isinstance(error, FileNotFoundError):
        hint = "Mount the share, create the folder, or correct inbox in the settings."
        return Trouble(f"{folder} does not exist", hint)
    if isinstance(error, NotADirectoryError):
        file = next((path for path in (folder, *folder.parents) if path.is_file()), folder)
        hint = "Name the folder to which the camera exports as inbox in the settings."
        return Trouble(f"{file} is a file, not a folder", hint)
    if isinstance(error, PermissionError):
        return _closed(folder, error)
    hint = "Mount the share again, and look for its errors: journalctl -k"
    return Trouble(f"{folder} cannot be listed ({error.strerror})", hint)


def _closed(folder: Path, error: OSError) -> Trouble:
    """Return the same for a folder that this user may not list, or not reach."""
    closed = folder
    for parent in reversed(folder.parents):
        if not os.access(parent, os.X_OK, effective_ids=True):
            closed = parent
            break
    user = user_name(os.geteuid())
    hint = (
        f"Let this user list the inbox and enter the folders above it; their rights: namei -l"
        f" {shlex.quote(str(folder))}. If a group may, add it to the unit (SupplementaryGroups=)."
    )
    problem = f"{folder} cannot be listed by user {user} ({error.strerror})"
    return Trouble(problem if closed == folder else f"{problem}: {closed} is closed", hint)

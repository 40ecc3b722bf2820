"""Name the owners of files, for the messages about files that the service may not use."""

from __future__ import annotations

import os
import pwd
import shlex
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

_ROOT = 0


def user_name(uid: int) -> str:
    """Return the name of a user, or "#" and the user id if it has no entry, as sudo takes both."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"#{uid}"


def owner_of(path: Path | str) -> str:
    """Return the name of the owner of a file, or "nobody that can be seen" if it is not visible."""
    try:
        return user_name(os.stat(path).st_uid)  # noqa: PTH116  also for text
    except OSError:
        return "nobody that can be seen"


def way_out(path: Path, folder: Path | None = None) -> str:
    """Return the hint for a file or folder that this process may not use.

    If it is another user's, its owner should be that of `folder`, by default the folder that it is
    in, unless that is root's or the same as that of the file.
    """
    folder = folder or path.parent
    try:
        uid, owner = path.stat().st_uid, folder.stat().st_uid
    except OSError:
        return "Run the command as the user that fundusd runs as."
    name, file = user_name(uid), shlex.quote(str(path))
    if uid == os.geteuid():
        return f"Give its owner the right back: chmod u+rwX {file}"
    command = f"sudo -u {shlex.quote(name)} fundusd ..."  # the shell takes "#" for a comment
    hint = f"If fundusd runs as {name}, run the command as that user ({command})."
    if owner in {_ROOT, uid} and path.is_dir():
        return hint
    if owner in {_ROOT, uid}:
        return f"{hint} Otherwise, give it to the user that fundusd runs as: chown fundusd: {file}"
    recursive = "-R " if path.is_dir() else ""
    return (
        f"{hint} Otherwise, give it to the owner of {folder}:"
        f" sudo chown {recursive}--reference={shlex.quote(str(folder))} {file}"
    )


def closing(file: Path) -> str:
    """Return the command after which only the service reads a file, and still can.

    This process is the service, or may at least read the file.
    """
    name = shlex.quote(str(file))
    if file.stat().st_uid == os.geteuid():
        return f"chmod 0400 {name}"
    return f"sudo chown fundusd: {name} && sudo chmod 0400 {name}"


def first_closed(paths: Iterable[Path]) -> Path | None:
    """Return the first of the existing files that this process may not both read and write."""
    for path in paths:
        is_open = os.access(path, os.R_OK | os.W_OK, effective_ids=True)
        if not is_open and os.path.lexists(path):
            return path
    return None

"""One directory of an inbox as the file system shows it; nothing is opened."""

from __future__ import annotations

import os
from dataclasses import dataclass
from enum import Enum, auto
from typing import TYPE_CHECKING

from fundusd.domain import Ignored, Stat
from fundusd.reading import stat_of
from fundusd.watcher.names import ignored_by_name

if TYPE_CHECKING:
    from collections.abc import Iterator


class Place(Enum):
    """An entry that is neither a candidate nor ignored."""

    DIRECTORY = auto()
    UNREADABLE = auto()
    GONE = auto()  # between the listing and the look


@dataclass(frozen=True, slots=True)
class Entry:
    """A name in a directory: a regular file's stat, why it is ignored, or what else it is."""

    name: bytes
    what: Stat | Ignored | Place


def entries(root: bytes, directory: bytes) -> Iterator[Entry]:
    """Yield what `directory`, relative to `root`, holds, following no link; raises OSError."""
    with os.scandir(os.path.join(root, directory)) as listing:  # noqa: PTH118  bytes
        for entry in listing:
            yield Entry(entry.name, _look(entry))


def _look(entry: os.DirEntry[bytes]) -> Stat | Ignored | Place:
    ignored = ignored_by_name(entry.name)
    if ignored is not None:
        return ignored
    try:
        if entry.is_symlink():
            return Ignored.SYMLINK
        if entry.is_dir(follow_symlinks=False):
            return Place.DIRECTORY
        if not entry.is_file(follow_symlinks=False):
            return Ignored.NOT_A_REGULAR_FILE
        return stat_of(entry.stat(follow_symlinks=False))
    except FileNotFoundError:
        return Place.GONE
    except OSError:
        return Place.UNREADABLE


def below(directory: bytes, name: bytes) -> bytes:
    """Join two parts of a path relative to the inbox, whose own name is empty."""
    return directory + b"/" + name if directory else name


def is_within(path: bytes, directory: bytes) -> bool:
    """Tell whether a path is `directory` or lies below it."""
    return not directory or path == directory or path.startswith(directory + b"/")

"""Recognise temporary files and captures by their names alone."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from fundusd.domain.files import IgnoreReason

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

_UNFINISHED = (b".tmp", b".part", b".filepart", b".crdownload", b".partial")
_HIDDEN = (b".", b"~$", b"#recycle", b"@eadir", b"$recycle.bin")  # "." includes ._ of macOS
_SYSTEM = frozenset({b"thumbs.db", b"desktop.ini", b"lost+found", b"system volume information"})
_CAPTURES = (b".jpg", b".jpeg", b".jpe", b".png", b".tif", b".tiff", b".dcm", b".dicom")


def ignored_by_name(name: bytes) -> IgnoreReason | None:
    """Return why a file or directory is ignored for its name alone, or None if it is not.

    >>> ignored_by_name(b"IMG_0001.jpg.part"), ignored_by_name(b"IMG_0001.jpg")
    (<IgnoreReason.TEMPORARY_NAME: 'temporary_name'>, None)
    """
    lowered = name.lower()
    if lowered.endswith(_UNFINISHED) or lowered.startswith(_HIDDEN) or lowered in _SYSTEM:
        return IgnoreReason.TEMPORARY_NAME
    return None


def claims_capture(name: bytes) -> bool:
    """Return whether a file's name suggests that the file is a capture.

    >>> claims_capture(b"OD.JPG"), claims_capture(b"report.pdf")
    (True, False)
    """
    return name.lower().endswith(_CAPTURES)


def _may_be_capture(name: bytes) -> bool:
    return ignored_by_name(name) is None and (claims_capture(name) or b"." not in name)


def named_like_captures(
    folder: Path, on_error: Callable[[OSError], None] | None = None
) -> Iterator[bytes]:
    """Yield the relative path of each file below `folder` whose name suggests a capture.

    Links are not followed.
    """
    root = os.fsencode(folder)
    for directory, subdirectories, files in os.walk(root, onerror=on_error):
        subdirectories[:] = [name for name in subdirectories if ignored_by_name(name) is None]
        for name in files:
            path = os.path.join(directory, name)  # noqa: PTH118  bytes
            if _may_be_capture(name) and not os.path.islink(path):  # noqa: PTH114  bytes
                yield os.path.relpath(path, root)

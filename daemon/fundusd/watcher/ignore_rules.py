"""What a file's name alone says."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from fundusd.domain.files import IgnoreReason

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

_UNFINISHED = (b".tmp", b".part", b".filepart", b".crdownload", b".partial")
_HIDDEN = (b".", b"~$", b"#recycle", b"@eadir", b"$recycle.bin")  # ._ of macOS starts with a dot
_SYSTEM = frozenset({b"thumbs.db", b"desktop.ini", b"lost+found", b"system volume information"})
_CAPTURES = (b".jpg", b".jpeg", b".jpe", b".png", b".tif", b".tiff", b".dcm", b".dicom")


def ignored_by_name(name: bytes) -> IgnoreReason | None:
    """Return why a file or folder of this name is passed over unopened, None when it is not.

    >>> ignored_by_name(b"IMG_0001.jpg.part"), ignored_by_name(b"IMG_0001.jpg")
    (<Ignored.TEMPORARY_NAME: 'temporary_name'>, None)
    """
    lowered = name.lower()
    temporary = lowered.endswith(_UNFINISHED) or lowered.startswith(_HIDDEN) or lowered in _SYSTEM
    return IgnoreReason.TEMPORARY_NAME if temporary else None


def claims_capture(name: bytes) -> bool:
    """Tell whether a name says that this is a capture.

    >>> claims_capture(b"OD.JPG"), claims_capture(b"report.pdf")
    (True, False)
    """
    return name.lower().endswith(_CAPTURES)


def named_like_captures(
    folder: Path, on_error: Callable[[OSError], None] | None = None
) -> Iterator[bytes]:
    """Yield the paths below a folder, relative to it, of files that may be captures by name; no link is followed."""
    root = os.fsencode(folder)
    for directory, folders, files in os.walk(root, onerror=on_error):
        folders[:] = [one for one in folders if ignored_by_name(one) is None]
        for name in files:
            path = os.path.join(directory, name)  # noqa: PTH118  bytes
            is_capture = ignored_by_name(name) is None and (
                claims_capture(name) or b"." not in name
            )
            if is_capture and not os.path.islink(path):  # noqa: PTH114  bytes
                yield os.path.relpath(path, root)

"""What a file's name alone says."""

from __future__ import annotations

from fundusd.domain import Ignored

_UNFINISHED = (b".tmp", b".part", b".filepart", b".crdownload", b".partial")
_HIDDEN = (b".", b"~$", b"#recycle", b"@eadir", b"$recycle.bin")  # ._ of macOS starts with a dot
_SYSTEM = frozenset({b"thumbs.db", b"desktop.ini", b"lost+found", b"system volume information"})
_CAPTURES = (b".jpg", b".jpeg", b".jpe", b".png", b".tif", b".tiff", b".dcm", b".dicom")


def ignored_by_name(name: bytes) -> Ignored | None:
    """Return why a file or folder of this name is passed over unopened, None when it is not.

    >>> ignored_by_name(b"IMG_0001.jpg.part"), ignored_by_name(b"IMG_0001.jpg")
    (<Ignored.TEMPORARY_NAME: 'temporary_name'>, None)
    """
    lowered = name.lower()
    temporary = lowered.endswith(_UNFINISHED) or lowered.startswith(_HIDDEN) or lowered in _SYSTEM
    return Ignored.TEMPORARY_NAME if temporary else None


def claims_capture(name: bytes) -> bool:
    """Tell whether a name says that this is a capture.

    >>> claims_capture(b"OD.JPG"), claims_capture(b"report.pdf")
    (True, False)
    """
    return name.lower().endswith(_CAPTURES)

"""Combine what the sources of a capture say about its field; pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fundusd.domain.capture_warnings import CaptureWarning
from fundusd.domain.exams import OTHER_FIELD

if TYPE_CHECKING:
    from collections.abc import Iterable


def agree_on_field(fields: Iterable[str | None], warnings: list[str]) -> str | None:
    """Return the field that all sources give which give one, or None if there is none.

    If they differ, a warning is added. With that warning, the field is unknown, whatever is added
    to the sources later.

    >>> warnings = []
    >>> agree_on_field([None, "disc"], warnings), agree_on_field(["macula", "disc"], warnings)
    ('disc', None)
    >>> warnings
    [<CaptureWarning.FIELD_CONFLICT: 'field_conflict'>]
    """
    given = {field for field in fields if field is not None}
    if len(given) > 1:
        warnings.append(CaptureWarning.FIELD_CONFLICT)
    if len(given) != 1 or CaptureWarning.FIELD_CONFLICT in warnings:
        return None
    return given.pop()


def settled_field(
    recorded: str | None, header: str | None, shown: str | None, warnings: list[str]
) -> str | None:
    """Return the field of a capture: macula, disc, or None if it is not known beyond doubt.

    `recorded` is the field in the path or the camera's database, `header` the one in DICOM, and
    `shown` the one that the pixels show. If they differ, the field is unknown and a warning is
    added. If DICOM names another field than macula and disc, such as one midway between them, then
    the pixels do not decide.
    """
    if header == OTHER_FIELD:
        shown = None
    field = agree_on_field([recorded, header, shown], warnings)
    return None if field == OTHER_FIELD else field

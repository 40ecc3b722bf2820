"""Where the bytes of captures lie, for whoever shows them to people."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import orjson
import sqlalchemy as sa

from fundusd.domain.capture_warnings import CaptureWarning
from fundusd.ledger.exam_queries import stem
from fundusd.ledger.tables import capture, job, release

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True, slots=True)
class Source:
    """The file of a capture as it was admitted, and whether it may be shown."""

    capture_id: int
    camera_id: str
    path: bytes
    digest: str
    preprocessing: str
    is_burned_in: bool  # it says so, or another file of the same shot does


def read(connection: sa.Connection, capture_ids: Sequence[int]) -> list[Source]:
    """Return the sources of captures, by number."""
    query = (
        sa.select(capture, release.c.preprocessing)
        .select_from(capture)
        .join(job, job.c.id == capture.c.job_id)
        .join(release, release.c.id == job.c.release_id)
        .where(capture.c.id.in_(capture_ids))
        .order_by(capture.c.id)
    )
    return [
        Source(
            row.id,
            row.camera_id,
            bytes(row.path),
            row.digest,
            row.preprocessing,
            _is_burned_in(connection, row),
        )
        for row in connection.execute(query).all()
    ]


def _is_burned_in(connection: sa.Connection, row: Any) -> bool:
    """Ask all files of the shot: a JPEG has the same pixels as the DICOM beside it, and cannot say what is in them."""
    shared = stem(row.path_text)
    first = stem_of_path(bytes(row.path))
    query = sa.select(capture.c.path_text, capture.c.warnings).where(
        capture.c.camera_id == row.camera_id,
        capture.c.path >= first,
        capture.c.path < first + b"/",  # the byte behind the dot
    )
    return any(
        CaptureWarning.BURNED_IN_ANNOTATION in orjson.loads(one.warnings or "[]")
        for one in connection.execute(query)
        if stem(one.path_text) == shared
    )


def stem_of_path(path: bytes) -> bytes:
    """Return a path without its suffix, as bytes."""
    folder, slash, name = path.rpartition(b"/")
    return folder + slash + (name.rpartition(b".")[0] or name)

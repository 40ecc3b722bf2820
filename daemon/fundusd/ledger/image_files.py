"""Query the source files of captures, for commands that show their images."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import orjson
import sqlalchemy as sa

from fundusd.domain.capture_warnings import TEXT_WARNINGS
from fundusd.ledger.exam_rows import stem
from fundusd.ledger.tables import capture, job, release

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True, slots=True)
class Source:
    """A capture's file as admitted, and whether burned-in text has been reported for its image."""

    capture_id: int
    camera_id: str
    path: bytes
    digest: str
    preprocessing: str
    is_burned_in: bool  # according to this file or another file of the same shot


def read(connection: sa.Connection, capture_ids: Sequence[int]) -> list[Source]:
    """Return the source files of captures, ordered by capture number."""
    query = (
        sa.select(capture, release.c.preprocessing)
        .select_from(capture)
        .join(job, job.c.id == capture.c.job_id)
        .join(release, release.c.id == job.c.release_id)
        .where(capture.c.id.in_(capture_ids))
        .order_by(capture.c.id)
    )
    sources = []
    for row in connection.execute(query).all():
        source = Source(
            row.id,
            row.camera_id,
            bytes(row.path),
            row.digest,
            row.preprocessing,
            is_burned_in=_is_burned_in(connection, row),
        )
        sources.append(source)
    return sources


def _is_burned_in(connection: sa.Connection, row: Any) -> bool:
    """Return whether any file of a capture's shot has a warning about burned-in text.

    Only a DICOM header can report such text, but a JPEG file of the same shot shows the same image.
    """
    shot = stem(row.path_text)
    first = stem_of_path(bytes(row.path))
    query = sa.select(capture.c.path_text, capture.c.warnings).where(
        capture.c.camera_id == row.camera_id,
        capture.c.path >= first,
        capture.c.path < first + b"/",  # "/" follows "."
    )
    for path_text, warnings in connection.execute(query):
        codes = orjson.loads(warnings or "[]")
        if stem(path_text) == shot and not TEXT_WARNINGS.isdisjoint(codes):
            return True
    return False


def stem_of_path(path: bytes) -> bytes:
    """Return a path, given as bytes, without its suffix."""
    folder, slash, name = path.rpartition(b"/")
    return folder + slash + (name.rpartition(b".")[0] or name)

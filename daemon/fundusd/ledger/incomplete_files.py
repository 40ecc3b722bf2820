"""The incomplete files of an inbox, which are shown to people but are not captures yet."""

from __future__ import annotations

from typing import TYPE_CHECKING

import sqlalchemy as sa

from fundusd.domain.files import IncompleteFile, WaitReason
from fundusd.ledger.sightings import path_text
from fundusd.ledger.tables import incomplete

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fundusd.ledger.transactions import Recording


def incomplete_files(connection: sa.Connection, camera_id: str) -> dict[bytes, IncompleteFile]:
    """Return the incomplete files of an inbox, by path."""
    files: dict[bytes, IncompleteFile] = {}
    for row in connection.execute(sa.select(incomplete).where(incomplete.c.camera_id == camera_id)):
        files[bytes(row.path)] = IncompleteFile(
            WaitReason(row.reason), row.size, row.since, row.quarantined_at
        )
    return files


def keep_incomplete(
    recording: Recording, camera_id: str, files: Mapping[bytes, IncompleteFile]
) -> None:
    """Replace the stored incomplete files of an inbox with `files`."""
    connection = recording.connection
    connection.execute(sa.delete(incomplete).where(incomplete.c.camera_id == camera_id))
    rows = []
    for path, file in files.items():
        row = {
            "camera_id": camera_id,
            "path": path,
            "path_text": recording.identifiers.path(path_text(path)),
            "reason": file.reason,
            "size": file.size,
            "since": file.since,
            "quarantined_at": file.quarantined_at,
        }
        rows.append(row)
    if rows:
        connection.execute(sa.insert(incomplete), rows)

"""Compare eyes with the side of the optic disc, and store how each camera's pictures are turned."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson
import sqlalchemy as sa

from fundusd.clinical import camera_orientation
from fundusd.clinical.camera_orientation import Orientation
from fundusd.domain.capture_warnings import CaptureWarning
from fundusd.domain.clinical_terms import Eye, Outcome
from fundusd.ledger.tables import camera

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from fundusd.clinical.camera_orientation import Learnt

    Row = Mapping[Any, Any]


def learnt(connection: sa.Connection, camera_ids: Collection[str]) -> dict[str, Learnt]:
    """Return, by camera, what its captures have shown about its orientation."""
    by_camera: dict[str, Learnt] = {}
    for camera_id, row in _cameras(connection, camera_ids).items():
        by_camera[camera_id] = learn_row(row)
    return by_camera


def learn_row(row: Row) -> Learnt:
    """Return what the captures of a camera, given as its row, have shown of its orientation."""
    return camera_orientation.learn(row["orientation_votes"], _usual(row))


def check_eyes(
    connection: sa.Connection,
    captures: Sequence[dict[str, Any]],
    contents: Sequence[Row],
    *,
    are_new: bool,
) -> None:
    """Add a warning to each graded capture whose eye is contradicted by the optic disc.

    `contents` holds what was read from the bytes of each capture. New photographs are also votes
    for the orientation of their cameras; further copies of a photograph are not.
    """
    cameras = _cameras(connection, {row["camera_id"] for row in captures})
    learnt_before: dict[str, Learnt] = {}
    for camera_id, camera_row in cameras.items():
        learnt_before[camera_id] = learn_row(camera_row)
    votes: dict[str, dict[str, str]] = {}
    for row, content in zip(captures, contents, strict=True):
        measures = content.get("measures", {}) if row["outcome"] == Outcome.GRADED else {}
        seen = Eye(row["eye"]), row["field"], measures
        codes = orjson.loads(row["warnings"])
        kept = [code for code in codes if code != CaptureWarning.EYE_CONTRADICTED]
        if camera_orientation.contradicts(*seen, learnt_before[row["camera_id"]]):
            kept.append(CaptureWarning.EYE_CONTRADICTED)
        row["warnings"] = orjson.dumps(kept).decode()
        directions = camera_orientation.vote(*seen)
        if are_new and directions is not None:
            votes.setdefault(row["camera_id"], {}).setdefault(row["digest"], directions)
    for camera_id, by_digest in votes.items():
        _add_votes(connection, cameras[camera_id], list(by_digest.values()))


def _add_votes(connection: sa.Connection, row: Row, votes: Sequence[str]) -> None:
    history = camera_orientation.add_votes(row["orientation_votes"], votes)
    usual = camera_orientation.usual_orientation(history, _usual(row))
    statement = sa.update(camera).where(camera.c.id == row["id"])
    connection.execute(statement.values(orientation_votes=history, usual_orientation=usual))


def _usual(row: Row) -> Orientation | None:
    return Orientation(row["usual_orientation"]) if row["usual_orientation"] else None


def _cameras(connection: sa.Connection, camera_ids: Collection[str]) -> dict[str, Row]:
    if not camera_ids:
        return {}
    columns = (camera.c.id, camera.c.orientation_votes, camera.c.usual_orientation)
    rows = connection.execute(sa.select(*columns).where(camera.c.id.in_(camera_ids))).mappings()
    return {row["id"]: row for row in rows}

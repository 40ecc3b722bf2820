"""Compare eyes with the side of the optic disc, and store how each camera's pictures are turned."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson
import sqlalchemy as sa

from fundusd.clinical import camera_orientation
from fundusd.domain.capture_warnings import CaptureWarning
from fundusd.domain.clinical_terms import Eye, Outcome
from fundusd.ledger.tables import camera

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from fundusd.clinical.camera_orientation import Learnt

    Row = Mapping[Any, Any]


def learnt(connection: sa.Connection, camera_ids: Collection[str]) -> dict[str, Learnt]:
    """Return, by camera, what its captures have shown about its orientation."""
    return _learn(_histories(connection, camera_ids))


def check_eyes(
    connection: sa.Connection,
    captures: Sequence[dict[str, Any]],
    contents: Sequence[Row],
    *,
    are_new: bool,
) -> None:
    """Add a warning to each graded capture whose eye is contradicted by the optic disc.

    `contents` holds what was read from the bytes of each capture. New captures are also votes for
    the orientation of their cameras; further copies of a photograph are not.
    """
    histories = _histories(connection, {row["camera_id"] for row in captures})
    cameras = _learn(histories)
    votes: dict[str, list[str]] = {}
    for row, content in zip(captures, contents, strict=True):
        measures = content.get("measures", {}) if row["outcome"] == Outcome.GRADED else {}
        seen = Eye(row["eye"]), row["field"], measures
        codes = orjson.loads(row["warnings"])
        kept = [code for code in codes if code != CaptureWarning.EYE_CONTRADICTED]
        if camera_orientation.contradicts(*seen, cameras[row["camera_id"]]):
            kept.append(CaptureWarning.EYE_CONTRADICTED)
        row["warnings"] = orjson.dumps(kept).decode()
        directions = camera_orientation.vote(*seen)
        if are_new and directions is not None:
            votes.setdefault(row["camera_id"], []).append(directions)
    for camera_id, added in votes.items():
        history = camera_orientation.add_votes(histories[camera_id], added)
        statement = sa.update(camera).where(camera.c.id == camera_id)
        connection.execute(statement.values(orientation_votes=history))


def _histories(connection: sa.Connection, camera_ids: Collection[str]) -> dict[str, str]:
    if not camera_ids:
        return {}
    query = sa.select(camera.c.id, camera.c.orientation_votes).where(camera.c.id.in_(camera_ids))
    return dict(connection.execute(query).all())


def _learn(histories: Mapping[str, str]) -> dict[str, Learnt]:
    by_camera: dict[str, Learnt] = {}
    for camera_id, history in histories.items():
        by_camera[camera_id] = camera_orientation.learn(history)
    return by_camera

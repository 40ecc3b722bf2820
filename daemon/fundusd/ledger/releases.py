"""Register a release: everything that fixes a number, once."""

from __future__ import annotations

from dataclasses import asdict, fields
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import orjson
import sqlalchemy as sa

from fundusd.domain.inference import Release
from fundusd.ledger import audit, hash_chain
from fundusd.ledger.tables import release

if TYPE_CHECKING:
    from collections.abc import Sequence


def register(connection: sa.Connection, made: Release) -> int:
    """Return the id of a release, writing it and its audit entry down if it is new."""
    row = asdict(made) | {
        "files": orjson.dumps(dict(made.files), option=orjson.OPT_SORT_KEYS).decode()
    }
    digest = hash_chain.digest(part for name in sorted(row) for part in (name, row[name]))
    known = connection.scalar(sa.select(release.c.id).where(release.c.digest == digest))
    if known is not None:
        return int(known)
    new = row | {"digest": digest, "created_at": datetime.now(UTC)}
    release_id = int(connection.scalar(sa.insert(release).values(new).returning(release.c.id)) or 0)
    detail = {"model": made.model, "release_digest": digest, "version": made.program_version}
    audit.append(
        connection,
        audit.Entry("release.registered", "release", release_id, None, release_id, None, detail),
    )
    return release_id


def read(connection: sa.Connection, ids: Sequence[int]) -> dict[int, Release]:
    """Return releases by number, those that there are."""
    names = [one.name for one in fields(Release)]
    rows = connection.execute(sa.select(release).where(release.c.id.in_(ids))).mappings()
    return {
        row["id"]: Release(
            **{name: row[name] for name in names} | {"files": orjson.loads(row["files"])}
        )
        for row in rows
    }

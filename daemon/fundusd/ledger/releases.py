"""Register and read releases.

A release names everything that determines a result.
"""

from __future__ import annotations

from dataclasses import asdict, fields
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import orjson
import sqlalchemy as sa

from fundusd.domain.inference import Release
from fundusd.ledger import audit, hash_chain
from fundusd.ledger.audit_events import AuditEvent
from fundusd.ledger.tables import release

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    Row = Mapping[Any, Any]


def register(connection: sa.Connection, made: Release) -> int:
    """Return the number of a release, storing the release if it is new.

    A new release is recorded in the audit trail.
    """
    row = asdict(made)
    row["files"] = orjson.dumps(dict(made.files), option=orjson.OPT_SORT_KEYS).decode()
    digest = hash_chain.digest(_named_fields(row))
    known = connection.scalar(sa.select(release.c.id).where(release.c.digest == digest))
    if known is not None:
        return int(known)
    new = row | {"digest": digest, "created_at": datetime.now(UTC)}
    release_id = int(connection.scalar(sa.insert(release).values(new).returning(release.c.id)) or 0)
    detail = {"model": made.model, "release_digest": digest, "version": made.program_version}
    entry = audit.Entry(
        AuditEvent.RELEASE_REGISTERED, "release", release_id, release_id=release_id, detail=detail
    )
    audit.append(connection, entry)
    return release_id


def _named_fields(row: Row) -> Iterable[str]:
    for name in sorted(row):
        yield name
        yield row[name]


def read(connection: sa.Connection, ids: Sequence[int]) -> dict[int, Release]:
    """Return the releases with the given numbers, by number.

    Unknown numbers are omitted.
    """
    releases: dict[int, Release] = {}
    query = sa.select(sa.text("*")).select_from(sa.table("v_release"))  # not all may read the table
    query = query.where(sa.column("release_id").in_(ids))
    for row in connection.execute(query).mappings():
        releases[row["release_id"]] = _release(row)
    return releases


def _release(row: Row) -> Release:
    row = {**row, "revision": row["model_revision"]}
    columns = {field.name: row[field.name] for field in fields(Release)}
    columns["files"] = orjson.loads(row["files"])
    return Release(**columns)

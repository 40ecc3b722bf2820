"""Know which site a database belongs to, and with which site key its rows were made."""

from __future__ import annotations

import secrets
from datetime import UTC, datetime
from typing import TYPE_CHECKING, NamedTuple

import sqlalchemy as sa

from fundusd.domain.errors import LedgerReplaced
from fundusd.ledger import audit
from fundusd.ledger.audit_events import AuditEvent
from fundusd.ledger.database_troubles import restore_hint
from fundusd.ledger.tables import capture, exam, site

if TYPE_CHECKING:
    from fundusd.clinical.pseudonyms import Identifiers
    from fundusd.ledger.transactions import Recording


class Site(NamedTuple):
    """What identifies a site in its database."""

    identity: str
    key_id: str | None  # None: no daemon with a site key has started yet
    is_adopted: bool  # an operator has said that this is the site's database from now on


def read(connection: sa.Connection) -> Site | None:
    """Return the site of a database, or None if no daemon has started on it yet."""
    if not sa.inspect(connection).has_table(site.name):
        return None
    row = connection.execute(sa.select(site)).one_or_none()
    if row is None:
        return None
    return Site(row.identity, row.key_id, row.adopted_at is not None)


def require_same(connection: sa.Connection, identity: str) -> None:
    """Raise LedgerReplaced if a database does not have this identity."""
    present = read(connection)
    if present is None or present.identity != identity:
        raise LedgerReplaced(
            "The database is another one than at the start of this daemon.",
            hint="The service ends. Bring back the database of this site, and: systemctl start"
            f" fundusd. {restore_hint(connection.engine.url)}",
        )


def establish(connection: sa.Connection, identifiers: Identifiers) -> str:
    """Note that a daemon starts with this site key, and return the identity of the site."""
    before = read(connection)
    if before is None:
        identity = secrets.token_hex(16)
        row = {"id": 1, "identity": identity, "key_id": identifiers.key_id}
        connection.execute(sa.insert(site), row)
        return identity
    key_id = identifiers.key_id or before.key_id
    connection.execute(sa.update(site).values(key_id=key_id, adopted_at=None))
    return before.identity


def adopt(recording: Recording, *, accept_key: bool) -> None:
    """Record that an operator makes this the site's database from now on.

    With `accept_key`, the next daemon may have another site key than the rows were made with.
    """
    connection = recording.connection
    if read(connection) is None:
        establish(connection, recording.identifiers)
    values: dict[str, object] = {"adopted_at": datetime.now(UTC)}
    if accept_key:
        values["key_id"] = None
    connection.execute(sa.update(site).values(**values))
    detail = {"accept_site_key": accept_key}
    audit.append(connection, audit.Entry(AuditEvent.SITE_ADOPTED, detail=detail))


def key_in_use(connection: sa.Connection, *, are_clear: bool) -> str | None:
    """Return the id of the site key that rows were made with, or None if no row depends on it.

    `are_clear` is false at a pseudonymous site, where the paths of captures depend on it too.
    """
    of_site = read(connection)
    if of_site is None or of_site.key_id is None:
        return None
    rows = [
        sa.select(exam.c.id).where(exam.c.patient_key.is_not(None)),
        sa.select(capture.c.id).where(
            capture.c.exam_id.is_(None), capture.c.patient_key.is_not(None)
        ),
    ]
    if not are_clear:
        rows.append(sa.select(capture.c.id))
    for query in rows:
        if connection.execute(query.limit(1)).first() is not None:
            return of_site.key_id
    return None

"""Say what a role of PostgreSQL that may not read every table is not shown."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fundusd.ledger import Ledger


def left_out(ledger: Ledger, what: str) -> str:
    """Return a line for such a role; `what` is a clause that begins with "so"."""
    role = ledger.database.role
    return (
        f"Role {role} may not read every table, {what}. To let it: "
        f'GRANT SELECT ON ALL TABLES IN SCHEMA public TO "{role}" (docs/users.md).'
    )

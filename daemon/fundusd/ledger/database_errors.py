"""Convert errors of the database drivers to errors that say what is wrong and what to do."""

from __future__ import annotations

import sqlalchemy as sa

from fundusd.domain.errors import LedgerError, NotStorable
from fundusd.ledger import database_troubles

# raised for a value before or while it is bound to a statement: a number beyond 64 bits, a text
# with a lone surrogate
_BINDING_ERRORS = (OverflowError, UnicodeError)
DRIVER_ERRORS = (sa.exc.StatementError, OSError, *_BINDING_ERRORS)
# SQLSTATE prefixes: a value out of range or not representable; too long for an index
_POSTGRES_NOT_STORABLE = ("22", "54")
_NOT_STORABLE = "The database cannot hold a value ({cause})."
_NOT_STORABLE_HINT = "Look for odd times, names or header values in the files that came last."


def as_ledger_error(error: Exception, url: sa.URL) -> LedgerError | None:
    """Return an error of a driver as a LedgerError, or None for an error of the program itself.

    Neither the message nor the hint contains values from rows or the password.
    """
    origin = getattr(error, "orig", None) or error
    if _is_of_a_value(error, origin):
        return NotStorable(_NOT_STORABLE.format(cause=cause_of(origin)), hint=_NOT_STORABLE_HINT)
    if not isinstance(error, sa.exc.DBAPIError | OSError):
        return None
    return database_troubles.of(error, origin, cause_of(origin), url)


def _is_of_a_value(error: Exception, origin: BaseException) -> bool:
    if isinstance(origin, _BINDING_ERRORS) or isinstance(error, sa.exc.DataError):
        return True
    if getattr(origin, "sqlite_errorname", None) == "SQLITE_TOOBIG":
        return True
    state = getattr(origin, "sqlstate", None)
    return state is not None and str(state).startswith(_POSTGRES_NOT_STORABLE)


def cause_of(origin: BaseException) -> str:
    """Return the type and code of an error, without the statement or its values."""
    code = getattr(origin, "sqlite_errorname", None) or getattr(origin, "sqlstate", None)
    name = type(origin).__name__
    return f"{name}: {code}" if code else name

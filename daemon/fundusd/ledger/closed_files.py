"""Name the file of a SQLite database that is in the way because this user may not write it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from fundusd.domain.errors import LedgerError
from fundusd.files.owners import first_closed, owner_of, user_name, way_out

if TYPE_CHECKING:
    import sqlalchemy as sa

_BESIDE = ("", "-wal", "-shm", "-journal")  # suffixes of the files of a database
_OF_RIGHTS = ("SQLITE_READONLY", "SQLITE_PERM", "SQLITE_CANTOPEN")


def is_about_rights(code: str, error: Exception) -> bool:
    """Return whether SQLite's code or the class of an error may be due to a file of another."""
    return code.startswith(_OF_RIGHTS) or isinstance(error, OSError)


def is_on_read_only_disk(file: Path) -> bool:
    """Return whether a file exists, on a disk that is mounted read-only."""
    try:
        return bool(os.statvfs(file).f_flag & os.ST_RDONLY)
    except OSError:
        return False


def _first_closed(file: Path) -> Path | None:
    target = os.path.realpath(file)  # SQLite keeps its files beside the target of a link
    of_sqlite = [Path(target + suffix) for suffix in _BESIDE]
    return first_closed([*of_sqlite, file.with_name(f"{file.name}.lock")])


def closed_file(url: sa.URL, cause: str = "") -> LedgerError | None:
    """Return an error that names the file of a SQLite database that this user may not write.

    Return None if there is no such file, if the disk is mounted read-only, or on PostgreSQL.
    `cause` is the class and the code of the driver's error.
    """
    if url.get_backend_name() != "sqlite":
        return None
    file = Path(url.database or "")
    closed, user = _first_closed(file), user_name(os.geteuid())
    if closed is None or is_on_read_only_disk(file):
        return None
    detail = f" ({cause})" if cause else ""
    return LedgerError(
        f"{closed} belongs to {owner_of(closed)}, and user {user} may not open it for"
        f" writing{detail}.",
        hint=way_out(closed),
    )

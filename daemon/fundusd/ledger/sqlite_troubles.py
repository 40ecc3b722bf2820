"""What can be wrong with a SQLite database."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from fundusd.domain.errors import (
    LedgerAbsent,
    LedgerAway,
    LedgerError,
    LedgerForbidden,
    LedgerUnfit,
)
from fundusd.ledger.closed_files import is_about_rights, is_on_read_only_disk
from fundusd.ledger.trouble import BY_ITSELF, Trouble

if TYPE_CHECKING:
    import sqlalchemy as sa

_RESTORE = (
    "Stop the service, move the file, {file}-wal and {file}-shm away and keep them, and restore the"
    ' last backup: docs/operations.md, "To restore a database".'
)
# no command names the folder, which may be /srv or a home
_IF_SERVICE = (
    " If that user is refused, the files belong to another (chown fundusd: {file}*), or their"
    " folder does."
)
DAMAGED = Trouble(
    ("SQLITE_CORRUPT",),
    LedgerUnfit,
    "The database {file} is damaged.",
    _RESTORE,
)
_BY_CODE = (
    DAMAGED,
    Trouble(
        ("SQLITE_NOTADB",),
        LedgerUnfit,
        "{file} is not a SQLite database.",
        "Correct [store] url. If the file was a database once: stop the service, move the file,"
        " {file}-wal and {file}-shm away and keep them, and restore the last backup:"
        ' docs/operations.md, "To restore a database".',
    ),
    Trouble(
        ("SQLITE_READONLY_DIRECTORY",),  # before SQLITE_READONLY, which is its beginning
        LedgerError,
        "The database {file} cannot be written: no file can be created beside it.",
        "Let the user that fundusd runs as write to the folder: chmod u+rwx {folder}, or, if it"
        " belongs to another, run the command as that user: sudo -u fundusd fundusd …."
        + _IF_SERVICE,
    ),
    Trouble(
        ("SQLITE_READONLY", "SQLITE_PERM"),
        LedgerError,
        "The database {file} cannot be written.",
        "Let the user that fundusd runs as write to the folder {folder}, the file and the files"
        " beside it: chmod u+w {file}*, or, if they belong to another, chown fundusd: {file}*",
    ),
    Trouble(
        ("SQLITE_BUSY", "SQLITE_LOCKED"),
        LedgerAway,
        "Another program keeps the database {file} locked.",
        "Wait for it, or find and end it (fuser -v {file})." + BY_ITSELF,
    ),
    Trouble(
        ("SQLITE_FULL",),
        LedgerAway,
        "The disk of the database {file} is full.",
        "Make room on it." + BY_ITSELF,
    ),
    Trouble(
        ("SQLITE_IOERR", "SQLITE_PROTOCOL"),
        LedgerAway,
        "The disk of the database {file} answers with errors.",
        "See that it is not full and is still there: df {folder}; journalctl -k." + BY_ITSELF,
    ),
)
_READ_ONLY_DISK = Trouble(
    (),
    LedgerError,
    "The disk of the database {file} is mounted read-only.",
    "Mount it for writing. Linux mounts a disk with errors read-only: findmnt -T {folder};"
    " journalctl -k.",
)
_ABSENT = Trouble(
    (),
    LedgerAbsent,
    "There is no database {file}.",
    "Correct [store] url, restore the last backup or, at a new site, start the service, which"
    " creates it.",
)
_ABSENT_AND_READ_ONLY = Trouble(
    (),
    LedgerAbsent,
    "There is no database {file}, and its disk is mounted read-only.",
    "Correct [store] url, or mount the disk for writing (findmnt -T {folder}; journalctl -k) and"
    " start the service, which creates the database at a new site.",
)
_NO_FOLDER = Trouble(
    (),
    LedgerError,
    "The folder of the database, {folder}, does not exist.",
    "Mount or create it for the user that fundusd runs as"
    " (install -d -o fundusd -g fundusd -m 750 {folder}), or correct [store] url.",
)
_IS_FOLDER = Trouble(
    (),
    LedgerError,
    "[store] url names the folder {file}, not a database file.",
    "Name a file in it, such as fundusd.db.",
)
_NO_RIGHTS = Trouble(
    (),
    LedgerForbidden,
    "This user may not open the database {file}.",
    "Run the command as the user that fundusd runs as (sudo -u fundusd fundusd …), or, to look, as"
    " a member of its group (docs/users.md)." + _IF_SERVICE,
)
_ONLY_READER = Trouble(
    (),
    LedgerForbidden,
    "This user may only read the database {file}.",
    "Run the command as the user that fundusd runs as: sudo -u fundusd fundusd …" + _IF_SERVICE,
)
_LEFT_OPEN = Trouble(
    (),
    LedgerForbidden,
    "The service did not close the database {file}, and this user may only read it.",
    "Start the service, or run the command as the user that fundusd runs as: sudo -u fundusd"
    " fundusd …" + _IF_SERVICE,
)


def of(code: str, error: Exception, url: sa.URL) -> Trouble | None:
    """Return the trouble that SQLite's name of an error stands for, or None if it is not known."""
    if is_about_rights(code, error) and is_on_read_only_disk(Path(url.database or "")):
        return _READ_ONLY_DISK
    if code.startswith("SQLITE_READONLY") and _may_only_read(Path(url.database or "")):
        return _ONLY_READER
    for trouble in _BY_CODE:
        if code.startswith(trouble.codes):
            return trouble
    if code.startswith("SQLITE_CANTOPEN") or isinstance(error, OSError):
        return _unopened(Path(url.database or ""))
    return None


def of_unwritable(file: Path) -> Trouble | None:
    """Return why nobody can write a SQLite file, or None if this is not known."""
    return _READ_ONLY_DISK if is_on_read_only_disk(file) else None


def _unopened(file: Path) -> Trouble:
    """Return why a SQLite file, or a file beside it, cannot be opened."""
    if not os.path.isdir(file.parent):  # noqa: PTH112  unlike Path.is_dir, never raises
        return _NO_FOLDER
    if os.path.isdir(file):  # noqa: PTH112
        return _IS_FOLDER
    if not os.path.lexists(file) and os.access(file.parent, os.X_OK):
        return _ABSENT_AND_READ_ONLY if is_on_read_only_disk(file.parent) else _ABSENT
    if _may_only_read(file):
        return _LEFT_OPEN
    return _NO_RIGHTS


def _may_only_read(file: Path) -> bool:
    """Return whether another user owns a file, and this one may read but not write it."""
    try:
        is_of_other = os.stat(file).st_uid != os.geteuid()  # noqa: PTH116  as above
    except OSError:
        return False
    return is_of_other and os.access(file, os.R_OK) and not os.access(file, os.W_OK)


def is_of_other_user(file: Path) -> bool:
    """Return whether a user who is neither this one nor root owns a file, so that it is his."""
    try:
        return os.stat(file).st_uid not in {os.geteuid(), 0}  # noqa: PTH116  as above
    except OSError:
        return False

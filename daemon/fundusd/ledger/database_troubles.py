"""What can be wrong with a database, in one sentence, and what to do about it, in another."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

import sqlalchemy as sa

from fundusd.domain.errors import LedgerAbsent, LedgerAway, LedgerError, LedgerUnfit
from fundusd.ledger.closed_files import closed_file, is_about_rights

_RESTORE = (
    "Stop the service, keep the file as it is, and restore the last backup:"
    ' docs/operations.md, "To restore a database".'
)
_BY_ITSELF = " fundusd then goes on by itself."


@dataclass(frozen=True, slots=True)
class _Trouble:
    """A kind of trouble: how it is recognised, and what people are told.

    `codes` are the beginnings of SQLite's names of errors, or of SQLSTATE. `words` is a pattern for
    the message of the server, which alone tells why a connection was refused. In the texts,
    `{shown}` stands for the URL, `{file}` and `{folder}` for a SQLite file and its folder, and
    `{name}`, `{role}` and `{host}` for a PostgreSQL database, its role and its server.
    """

    codes: tuple[str, ...]
    kind: type[LedgerError]
    sentence: str
    hint: str
    words: str = ""


_SQLITE = (
    _Trouble(
        ("SQLITE_CORRUPT",),
        LedgerUnfit,
        "The database {file} is damaged.",
        _RESTORE,
    ),
    _Trouble(
        ("SQLITE_NOTADB",),
        LedgerUnfit,
        "{file} is not a SQLite database.",
        "Correct [store] url. If the file was a database once: stop the service, keep the file as"
        ' it is, and restore the last backup: docs/operations.md, "To restore a database".',
    ),
    _Trouble(
        ("SQLITE_READONLY", "SQLITE_PERM"),
        LedgerError,
        "The database {file} cannot be written.",
        "Let the user that fundusd runs as write the file, the files beside it and their folder"
        " (chown fundusd: {file}* {folder}), and see that the disk is not mounted read-only.",
    ),
    _Trouble(
        ("SQLITE_BUSY", "SQLITE_LOCKED"),
        LedgerAway,
        "Another program keeps the database {file} locked.",
        "Wait for it, or find and end it (fuser -v {file})." + _BY_ITSELF,
    ),
    _Trouble(
        ("SQLITE_FULL",),
        LedgerAway,
        "The disk of the database {file} is full.",
        "Make room on it." + _BY_ITSELF,
    ),
    _Trouble(
        ("SQLITE_IOERR", "SQLITE_PROTOCOL"),
        LedgerAway,
        "The disk of the database {file} answers with errors.",
        "See that it is not full and is still there: df {folder}; journalctl -k." + _BY_ITSELF,
    ),
)
LACKS_RIGHTS = _Trouble(
    ("42501", "3F000"),  # the latter: there is no schema in which the role may create a table
    LedgerError,
    "Role {role} lacks rights in the database {name}.",
    'Make it the owner: ALTER DATABASE "{name}" OWNER TO "{role}". Before PostgreSQL 15, or if they'
    ' were taken away: GRANT USAGE, CREATE ON SCHEMA public TO "{role}". If another role made the'
    ' tables: REASSIGN OWNED BY that role TO "{role}".',
)
_POSTGRES = (
    _Trouble(
        (),
        LedgerUnfit,
        "A connection pooler stands between fundusd and the server of {name}, and refuses what"
        " fundusd has to set for each session (options).",
        "Connect to the PostgreSQL server itself: name its host and port in [store] url.",
        words="unsupported startup parameter|support command-line options",
    ),
    _Trouble(
        (),
        LedgerError,
        "The server refuses the password of role {role}.",
        "Correct the file that [store] password_file names, or set the password anew:"
        " psql -c '\\password {role}'.",
        words="password authentication failed",
    ),
    _Trouble(
        (),
        LedgerError,
        "The server asks for a password for role {role}, and the settings give none.",
        "Put the password into a file, and name the file in [store] password_file.",
        words="no password supplied",
    ),
    _Trouble(
        (),
        LedgerError,
        "The server does not let role {role} connect to {name} from here.",
        "Add a line for this role, database and address to the server's pg_hba.conf, and reload"
        " the server. With peer authentication, role and system user have the same name.",
        words=r"pg_hba\.conf|(Peer|Ident|GSSAPI|certificate) authentication failed"
        "|is not permitted to log in|permission denied for database",
    ),
    _Trouble(
        (),
        LedgerError,
        "The server has no role {role}.",
        "Correct [store] url, or create the role: createuser {role}",
        words=r"role \S+ does not exist",
    ),
    _Trouble(
        (),
        LedgerAbsent,
        "The server has no database {name}.",
        "Correct [store] url, restore the database from a backup, or create a new one:"
        " createdb -E UTF8 -T template0 -O {role} {name}",
        words=r"database \S+ does not exist",
    ),
    _Trouble(
        ("XX001", "XX002"),
        LedgerUnfit,
        "The database {name} is damaged.",
        "Stop the service, keep a copy of the server's files, and restore the last backup:"
        ' docs/operations.md, "To restore a database".',
    ),
    LACKS_RIGHTS,
    _Trouble(
        ("25006",),
        LedgerAway,
        "The server of {name} accepts no writes at present: it is a standby, or was made"
        " read-only.",
        "Name the primary server in [store] url, or both servers with"
        " target_session_attrs=read-write." + _BY_ITSELF,
    ),
    _Trouble(
        ("53100",),
        LedgerAway,
        "The disk of the server of {name} is full.",
        "Make room on it." + _BY_ITSELF,
    ),
    _Trouble(
        ("53300",),
        LedgerAway,
        "The server of {name} has no connection to spare.",
        "End sessions that are not needed, or raise max_connections." + _BY_ITSELF,
        words="too many (clients|connections)|remaining connection slots",
    ),
    # connection broken, resources insufficient, shut down or cancelled, lock not available,
    # deadlock, idle for too long
    _Trouble(
        ("08", "53", "57", "55P03", "40", "25P03"),
        LedgerAway,
        "The server of {name} has ended the work on a statement or on the connection.",
        "See the server's log: it was restarted, is overloaded, or another session holds a lock."
        + _BY_ITSELF,
    ),
)
NO_ANSWER = _Trouble(
    (),
    LedgerAway,
    "No PostgreSQL server answers at {host}.",
    "Start it (systemctl start postgresql), or correct [store] url." + _BY_ITSELF,
)
_REFUSED = _Trouble(
    (),
    LedgerAway,
    "The server of {name} refuses the connection at present.",
    "It is starting or stopping, or the reason stands in its log." + _BY_ITSELF,
)
_OTHER = _Trouble(
    (),
    LedgerError,
    "The database {shown} does not answer as it should.",
    "Check that it is the database of this fundusd: fundusd db check",
)
POOLER = _POSTGRES[0]
NOT_UTF8 = _Trouble(
    (),
    LedgerUnfit,
    "The database {name} is not encoded in UTF-8, so it cannot hold every name.",
    "Create another one for fundusd, and name it in [store] url:"
    " createdb -E UTF8 -T template0 --locale=C -O {role} fundusd_utf8",
)
ABSENT = _Trouble(
    (),
    LedgerAbsent,
    "There is no database {file}.",
    "Correct [store] url, restore the last backup, or start the service, which creates it.",
)
_NO_FOLDER = _Trouble(
    (),
    LedgerError,
    "The folder of the database, {folder}, does not exist.",
    "Mount or create it for the user that fundusd runs as"
    " (install -d -o fundusd -g fundusd -m 750 {folder}), or correct [store] url.",
)
_IS_FOLDER = _Trouble(
    (),
    LedgerError,
    "[store] url names the folder {file}, not a database file.",
    "Name a file in it, such as sqlite:///{file}/fundusd.db",
)
_NO_RIGHTS = _Trouble(
    (),
    LedgerError,
    "This user may not open the database {file}.",
    "Run the command as the user that fundusd runs as, and let this user use the folder and the"
    " files of the database: chown fundusd: {folder} {file}*",
)


def of(error: Exception, origin: BaseException, cause: str, url: sa.URL) -> LedgerError:
    """Return the trouble that an error of a driver stands for; `cause` names its class and code."""
    if url.get_backend_name() == "sqlite":
        code = getattr(origin, "sqlite_errorname", None) or ""
        if is_about_rights(code, error) and (closed := closed_file(url, cause)) is not None:
            return closed
        trouble = _of_sqlite(code, error, url)
    else:
        trouble = _of_postgres(error, origin)
    return as_error(trouble, url, cause)


def as_error(trouble: _Trouble, url: sa.URL, cause: str = "") -> LedgerError:
    """Return a trouble as an error for people."""
    file = Path(url.database or "")
    words = {
        "shown": url.render_as_string(hide_password=True),
        "file": file,
        "folder": file.parent,
        "name": url.database or url.username or "",
        "role": url.username or "(the system user)",
        "host": _host(url),
    }
    sentence = trouble.sentence.format(**words)
    if cause:
        sentence = f"{sentence.removesuffix('.')} ({cause})."
    return trouble.kind(sentence, hint=trouble.hint.format(**words))


def _host(url: sa.URL) -> str:
    host = url.host or url.query.get("host") or "the local socket"
    if not isinstance(host, str):
        host = ", ".join(host)
    return f"{host}:{url.port}" if url.port else host


def _of_sqlite(code: str, error: Exception, url: sa.URL) -> _Trouble:
    for trouble in _SQLITE:
        if code.startswith(trouble.codes):
            return trouble
    if code.startswith("SQLITE_CANTOPEN") or isinstance(error, OSError):
        return _unopened(Path(url.database or ""))
    return _OTHER


def _unopened(file: Path) -> _Trouble:
    """Return why a SQLite file, or a file beside it, cannot be opened."""
    if not os.path.isdir(file.parent):  # noqa: PTH112  unlike Path.is_dir, never raises
        return _NO_FOLDER
    if os.path.isdir(file):  # noqa: PTH112
        return _IS_FOLDER
    if not os.path.lexists(file) and os.access(file.parent, os.X_OK):
        return ABSENT
    return _NO_RIGHTS


def _of_postgres(error: Exception, origin: BaseException) -> _Trouble:
    state, message = str(getattr(origin, "sqlstate", None) or ""), str(origin)
    for trouble in _POSTGRES:
        if state and trouble.codes and state.startswith(trouble.codes):
            return trouble
        if trouble.words and re.search(trouble.words, message, re.IGNORECASE):
            return trouble
    if not state and isinstance(error, sa.exc.OperationalError | OSError):
        # the server's own words begin with a severity in its language, and two spaces
        return _REFUSED if re.search(r"failed: \S+:  ", message) else NO_ANSWER
    return _OTHER

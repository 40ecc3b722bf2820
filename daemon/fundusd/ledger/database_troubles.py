"""What can be wrong with a database, in one sentence, and what to do about it, in another."""

from __future__ import annotations

import os
import re
import shlex
from pathlib import Path

import sqlalchemy as sa

from fundusd.domain.errors import (
    LedgerAbsent,
    LedgerAway,
    LedgerError,
    LedgerForbidden,
    LedgerReadOnly,
    LedgerUnfit,
)
from fundusd.ledger import sqlite_troubles
from fundusd.ledger.closed_files import closed_file, is_about_rights
from fundusd.ledger.trouble import BY_ITSELF, Trouble

LACKS_RIGHTS = Trouble(
    ("42501", "3F000"),  # the latter: there is no schema in which the role may create a table
    LedgerError,
    "Role {role} lacks rights in the database {name}.",
    'Make it the owner: ALTER DATABASE "{name}" OWNER TO "{role}". Before PostgreSQL 15, or if they'
    ' were taken away: GRANT USAGE, CREATE ON SCHEMA public TO "{role}". If another role made the'
    ' tables: REASSIGN OWNED BY that role TO "{role}".',
)
_POSTGRES = (
    Trouble(
        (),
        LedgerUnfit,
        "A connection pooler stands between fundusd and the server of {name}, and refuses what"
        " fundusd has to set for each session (options).",
        "Connect to the PostgreSQL server itself: name its host and port in [store] url.",
        words="unsupported startup parameter|support command-line options",
    ),
    Trouble(
        (),
        LedgerError,
        "The server refuses the password of role {role}.",
        "Correct the file that [store] password_file names, or set the password anew:"
        " psql -c '\\password {role}'.",
        words="password authentication failed",
    ),
    Trouble(
        (),
        LedgerError,
        "The server asks for a password for role {role}, and the settings give none.",
        "Put the password into a file, and name the file in [store] password_file.",
        words="no password supplied",
    ),
    Trouble(
        (),
        LedgerError,
        "The server does not let role {role} connect to {name} from here.",
        "Add a line for this role, database and address to the server's pg_hba.conf, and reload"
        " the server. With peer authentication, role and system user have the same name.",
        words=r"pg_hba\.conf|(Peer|Ident|GSSAPI|certificate) authentication failed"
        "|is not permitted to log in|permission denied for database",
    ),
    Trouble(
        (),
        LedgerError,
        "The server has no role {role}.",
        "Correct [store] url, or create the role: createuser {role}",
        words=r"role \S+ does not exist",
    ),
    Trouble(
        (),
        LedgerAbsent,
        "The server has no database {name}.",
        "Correct [store] url, restore the database from a backup, or create a new one:"
        " createdb -E UTF8 -T template0 -O {role} {name}",
        words=r"database \S+ does not exist",
    ),
    Trouble(
        ("XX001", "XX002"),
        LedgerUnfit,
        "The database {name} is damaged.",
        "Stop the service, keep a copy of the server's files, and restore the last backup:"
        ' docs/operations.md, "To restore a database".',
    ),
    Trouble(
        (),
        LedgerForbidden,
        "Role {role} may not read or change something that this command needs in the database"
        " {name}.",
        "Run the command as the user that fundusd runs as (sudo -u fundusd fundusd …). To let the"
        ' role read: GRANT SELECT ON ALL TABLES IN SCHEMA public TO "{role}" (docs/users.md). If'
        " the service itself is refused, another role owns its tables: REASSIGN OWNED BY that role"
        ' TO "{role}".',
        words="permission denied for (table|view|relation|sequence)|must be owner of",
    ),
    LACKS_RIGHTS,
    Trouble(
        ("25006",),
        LedgerReadOnly,
        "The server of {name} accepts no writes at present: it is a standby, or it or role {role}"
        " was made read-only.",
        "Name the primary server in [store] url, or both servers with"
        " target_session_attrs=read-write." + BY_ITSELF,
    ),
    Trouble(
        ("53100",),
        LedgerAway,
        "The disk of the server of {name} is full.",
        "Make room on it." + BY_ITSELF,
    ),
    Trouble(
        ("53300",),
        LedgerAway,
        "The server of {name} has no connection to spare.",
        "End sessions that are not needed, or raise max_connections." + BY_ITSELF,
        words="too many (clients|connections)|remaining connection slots",
    ),
    # connection broken, resources insufficient, shut down or cancelled, lock not available,
    # deadlock, idle for too long
    Trouble(
        ("08", "53", "57", "55P03", "40", "25P03"),
        LedgerAway,
        "The server of {name} has ended the work on a statement or on the connection.",
        "See the server's log: it was restarted, is overloaded, or another session holds a lock."
        + BY_ITSELF,
    ),
)
NO_ANSWER = Trouble(
    (),
    LedgerAway,
    "No PostgreSQL server answers at {host}.",
    "Start it (systemctl start postgresql), or correct [store] url." + BY_ITSELF,
)
_REFUSED = Trouble(
    (),
    LedgerAway,
    "The server of {name} refuses the connection at present.",
    "It is starting or stopping, or the reason stands in its log." + BY_ITSELF,
)
_OTHER = Trouble(
    (),
    LedgerError,
    "The database {shown} does not answer as it should.",
    "Check that it is the database of this fundusd: fundusd db check",
)
POOLER = _POSTGRES[0]
NOT_UTF8 = Trouble(
    (),
    LedgerUnfit,
    "The database {name} is not encoded in UTF-8, so it cannot hold every name.",
    "Create another one for fundusd, and name it in [store] url:"
    " createdb -E UTF8 -T template0 --locale=C -O {role} fundusd_utf8",
)


def of(error: Exception, origin: BaseException, cause: str, url: sa.URL) -> LedgerError:
    """Return the trouble that an error of a driver stands for; `cause` names its class and code."""
    if url.get_backend_name() == "sqlite":
        name = getattr(origin, "sqlite_errorname", None) or ""
        is_others = sqlite_troubles.is_of_other_user(Path(url.database or ""))
        if is_about_rights(name, error) and not is_others:
            closed = closed_file(url, cause)
            if closed is not None:
                return closed
        trouble = sqlite_troubles.of(name, error, url) or _OTHER
    else:
        trouble = _of_postgres(error, origin)
    return as_error(trouble, url, cause)


def as_error(trouble: Trouble, url: sa.URL, cause: str = "") -> LedgerError:
    """Return a trouble as an error for people."""
    file = Path(url.database or "")
    words = {
        "shown": url.render_as_string(hide_password=True),
        "file": file,
        "folder": file.parent,
        "name": url.database or url.username or "",
        "role": role_of(url),
        "host": _host(url),
    }
    sentence = trouble.sentence.format(**words)
    if cause:
        sentence = f"{sentence.removesuffix('.')} ({cause})."
    real = Path(os.path.realpath(file))  # SQLite keeps its files beside the target of a link
    words |= {"file": shlex.quote(str(real)), "folder": shlex.quote(str(real.parent))}
    return trouble.kind(sentence, hint=trouble.hint.format(**words))


def restore_hint(url: sa.URL) -> str:
    """Return how the last backup is restored, and the service started again.

    SQLite would apply the log of the old database to the file of the backup, and destroy it.
    """
    steps = "restore it"
    if url.get_backend_name() == "sqlite":
        file = shlex.quote(os.path.realpath(url.database or ""))
        steps = f"move {file}, {file}-wal and {file}-shm away, put the backup in their place"
    return (
        f"To restore the last backup: systemctl stop fundusd; {steps}; systemctl start fundusd"
        ' (docs/operations.md, "To restore a database").'
    )


def role_of(url: sa.URL) -> str:
    """Return the name of the role in PostgreSQL, or a phrase if the URL does not name it."""
    return url.username or "(the system user)"


def _host(url: sa.URL) -> str:
    host = url.host or url.query.get("host") or "the local socket"
    if not isinstance(host, str):
        host = ", ".join(host)
    return f"{host}:{url.port}" if url.port else host


def _of_postgres(error: Exception, origin: BaseException) -> Trouble:
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

"""What a camera's own database says of its captures; asked read-only, and never waited for long."""

from __future__ import annotations

import os
import re
import sqlite3
import stat
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from time import monotonic
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import quote

from fundusd.clinical.laterality import resolve
from fundusd.clinical.path_rules import Named, contradicted, of_row, without_likely
from fundusd.domain.capture_warnings import CaptureWarning
from fundusd.domain.clinical_terms import Eye, EyeSource

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fundusd.clinical.path_rules import Naming

PARAMETERS = ("path", "name", "stem", "folder")
COLUMNS = ("patient", "eye", "field", "date", "time")
_NO_ANSWER = (
    CaptureWarning.LOOKUP_LOCKED,
    CaptureWarning.LOOKUP_MISSING,
    CaptureWarning.LOOKUP_BROKEN,
    CaptureWarning.LOOKUP_NO_ROW,
)

_BUSY_SECONDS = 0.25
_ALL_SECONDS = 1.0  # for all captures that are asked for together: the watcher waits meanwhile
_STEPS = 10_000  # of SQLite's machine, between two looks at the clock
_LONGEST_VALUE = 100_000  # bytes
# READONLY_…: a journal or write-ahead log that only the camera itself may deal with
_PASSING = (
    "SQLITE_BUSY",
    "SQLITE_LOCKED",
    "SQLITE_INTERRUPT",
    "SQLITE_READONLY_",
    "SQLITE_PROTOCOL",
)
_NOT_OPENED = ("SQLITE_CANTOPEN", "SQLITE_PERM", "SQLITE_AUTH")
_UNREADABLE = "\0"
_NOISE = re.compile(r"'(?:[^']|'')*'|\"(?:[^\"]|\"\")*\"|--[^\n]*|/\*.*?\*/", re.DOTALL)
_MISSPELT = re.compile(r"syntax error|incomplete input|unrecognized token")


def require_query(text: str) -> None:
    """Refuse what is no question about a capture; raises ValueError that says why."""
    bare = _NOISE.sub(" ", text).strip().rstrip(";")
    if not re.match(r"(?:SELECT|WITH)\b", bare, re.IGNORECASE):
        raise ValueError("must be a SELECT")
    if ";" in bare:
        raise ValueError("must be one statement")
    asked = set(re.findall(r"[:@$](\w+)", bare))
    if not asked or asked - set(PARAMETERS) or "?" in bare:
        known = ", ".join(f":{name}" for name in PARAMETERS)
        raise ValueError(f"must ask for the capture by one of {known}, and by nothing else")
    try:
        with closing(sqlite3.connect(":memory:")) as nowhere:
            nowhere.execute(f"EXPLAIN {text}", dict.fromkeys(PARAMETERS, ""))
    except sqlite3.Error as error:
        if _MISSPELT.search(str(error)):  # all else depends on tables that are not here
            raise ValueError(f"is no SQL ({error})") from None


@dataclass(frozen=True, slots=True)
class Lookup:
    """A camera's own SQLite file, and how to find a capture's row in it."""

    database: Path
    query: str

    def ask(self, paths: Sequence[str]) -> list[Named]:
        """Return what the database says of each path, relative to the inbox; its troubles are warnings."""
        if not paths:
            return []
        try:
            before = _stamp(self.database)
            if not stat.S_ISREG(before.mode):
                return [_trouble(CaptureWarning.LOOKUP_MISSING)] * len(paths)
            with closing(self._opened(at_rest=before.at_rest)) as connection:
                answers = self._answers(connection, paths)
            if (
                before.at_rest and _stamp(self.database) != before
            ):  # read without a lock while the camera wrote
                return [_trouble(CaptureWarning.LOOKUP_LOCKED)] * len(paths)
            return answers  # noqa: TRY300  the last of three
        except OSError:
            return [_trouble(CaptureWarning.LOOKUP_MISSING)] * len(paths)
        except sqlite3.Error as error:
            return [_trouble(_code(error))] * len(paths)

    def _opened(self, *, at_rest: bool) -> sqlite3.Connection:
        uri = f"file:{quote(str(self.database))}?mode=ro" + ("&immutable=1" if at_rest else "")
        connection = sqlite3.connect(uri, timeout=_BUSY_SECONDS, uri=True)
        connection.text_factory = _text
        connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, _LONGEST_VALUE)
        return connection

    def _answers(self, connection: sqlite3.Connection, paths: Sequence[str]) -> list[Named]:
        """Ask for one after the other until the time is up, or the database locked: the rest waits no more."""
        end = monotonic() + _ALL_SECONDS
        connection.set_progress_handler(lambda: monotonic() > end, _STEPS)
        found: list[Named] = []
        for path in paths:
            answer = (
                self._answer(connection, path)
                if monotonic() < end
                else _trouble(CaptureWarning.LOOKUP_LOCKED)
            )
            found.append(answer)
            if answer.warnings == (CaptureWarning.LOOKUP_LOCKED,):
                break
        return found + [_trouble(CaptureWarning.LOOKUP_LOCKED)] * (len(paths) - len(found))

    def _answer(self, connection: sqlite3.Connection, path: str) -> Named:
        pure = PurePosixPath(path.replace("\\", "/"))
        values = {"path": path, "name": pure.name, "stem": pure.stem, "folder": pure.parent.name}
        try:
            cursor = connection.execute(self.query, values)
            columns = [column[0].lower() for column in cursor.description or ()]
            rows = cursor.fetchmany(2)
        except sqlite3.Error as error:
            return _trouble(_code(error))
        if not columns or set(columns) - set(COLUMNS) or len(set(columns)) < len(columns):
            return _trouble(CaptureWarning.LOOKUP_BROKEN)
        if len(rows) != 1:
            return _trouble(
                CaptureWarning.LOOKUP_AMBIGUOUS if rows else CaptureWarning.LOOKUP_NO_ROW
            )
        return of_row({name: _plain(value) for name, value in zip(columns, rows[0], strict=True)})


def is_worse(after: Sequence[str], before: Sequence[str]) -> bool:
    """Tell by their warnings that a second answer is none, where the first was one."""
    return any(code in _NO_ANSWER for code in after) and not any(
        code in _NO_ANSWER for code in before
    )


class _Stamp(NamedTuple):
    """What a database file looks like; any write changes it, or makes a log beside it."""

    mode: int
    inode: int
    size: int
    mtime_ns: int
    at_rest: bool  # keeps a write-ahead log, and nobody has it open


def _stamp(database: Path) -> _Stamp:
    """Look at a database file; raises OSError."""
    status = database.stat()
    at_rest = False
    if stat.S_ISREG(status.st_mode):
        with database.open("rb") as file:
            is_wal = (
                file.read(20)[18:] == b"\2\2"
            )  # sqlite.org/fileformat.html, "file format version numbers"
        # opened as usual it would get a log and shared memory of ours, which the camera may not be able to open
        real = os.path.realpath(database)  # beside which SQLite has them, whatever link leads there
        at_rest = is_wal and not any(os.path.lexists(real + end) for end in ("-wal", "-shm"))
    return _Stamp(status.st_mode, status.st_ino, status.st_size, status.st_mtime_ns, at_rest)


def read(naming: Naming, lookup: Lookup | None, paths: Sequence[str]) -> list[Named]:
    """Return what paths tell, and the camera's own database where it has one."""
    named = [naming.read(path) for path in paths]
    if lookup is None:
        return named
    return [
        _joined(by_name, by_row) for by_name, by_row in zip(named, lookup.ask(paths), strict=True)
    ]


def _joined(by_name: Named, by_row: Named) -> Named:
    """Settle on what name and row tell: an eye or a patient they disagree about is unknown."""
    warnings = [*by_name.warnings, *by_row.warnings]
    eye, source = resolve(by_row.eye, by_row.eye_source, by_name.eye, by_name.eye_source)
    if contradicted(eye, warnings):
        eye, source = Eye.UNKNOWN, EyeSource.CONFLICT
    if source is EyeSource.CONFLICT:
        warnings.append(CaptureWarning.EYE_CONFLICT)
    patients = {one.patient for one in (by_name, by_row)} - {None}
    if len(patients) > 1:
        warnings.append(CaptureWarning.PATIENT_CONFLICT)
    return Named(
        eye,
        source,
        field=by_row.field or by_name.field,
        patient=patients.pop() if len(patients) == 1 else None,
        date=by_row.date or by_name.date,
        time=by_row.time or by_name.time,
        warnings=without_likely(eye, warnings),
    )


def _plain(value: object) -> str:
    """Return a value as text, "" for none; bytes are no text that could be read."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return "" if value is None else _UNREADABLE if isinstance(value, bytes) else str(value).strip()


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "surrogateescape")


def _trouble(code: str) -> Named:
    return Named(warnings=(code,))


def _code(error: sqlite3.Error) -> str:
    """Tell the troubles of a database apart: those that pass, those of its file, those of its content."""
    name = getattr(error, "sqlite_errorname", "")
    if name.startswith(_PASSING):
        return CaptureWarning.LOOKUP_LOCKED
    return (
        CaptureWarning.LOOKUP_MISSING
        if name.startswith(_NOT_OPENED)
        else CaptureWarning.LOOKUP_BROKEN
    )

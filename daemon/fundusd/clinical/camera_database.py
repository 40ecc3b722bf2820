"""Query a camera's own SQLite database about its captures, within a time limit."""

from __future__ import annotations

import os
import re
import sqlite3
import stat
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from time import monotonic
from typing import TYPE_CHECKING, NamedTuple, TypeVar
from urllib.parse import quote

from fundusd.clinical.attribution import CaptureMetadata, agree, join
from fundusd.clinical.field_values import (
    read_date,
    read_eyes,
    read_field,
    read_patient,
    read_time,
)
from fundusd.domain.capture_warnings import CaptureWarning
from fundusd.domain.clinical_terms import Eye, EyeSource

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from fundusd.clinical.path_rules import Naming

PARAMETERS = ("path", "name", "stem", "folder")
COLUMNS = ("patient", "eye", "field", "date", "time")

_Value = TypeVar("_Value")

_BUSY_SECONDS = 0.25
_TOTAL_SECONDS = 1.0  # for all captures of a call, as the watcher is waiting
_PROGRESS_STEPS = 10_000  # SQLite instructions between two checks of the time
_MAX_VALUE_BYTES = 100_000
# READONLY_…: there is a journal or write-ahead log that only the camera itself may replay
_TEMPORARY_ERRORS = (
    "SQLITE_BUSY",
    "SQLITE_LOCKED",
    "SQLITE_INTERRUPT",
    "SQLITE_READONLY_",
    "SQLITE_PROTOCOL",
)
_OPEN_ERRORS = ("SQLITE_CANTOPEN", "SQLITE_PERM", "SQLITE_AUTH")
_UNREADABLE = "\0"  # stands for bytes: no reader of values accepts it
_QUOTED = re.compile(r"'(?:[^']|'')*'|\"(?:[^\"]|\"\")*\"|--[^\n]*|/\*.*?\*/", re.DOTALL)
_SYNTAX_ERROR = re.compile(r"syntax error|incomplete input|unrecognized token")


def require_query(text: str) -> None:
    """Verify that `text` is an SQL query for one capture.

    Raises a ValueError that explains the problem if it is not.
    """
    bare = _QUOTED.sub(" ", text).strip().rstrip(";")
    if not re.match(r"(?:SELECT|WITH)\b", bare, re.IGNORECASE):
        raise ValueError("must be a SELECT")
    if ";" in bare:
        raise ValueError("must be one statement")
    parameters = set(re.findall(r"[:@$](\w+)", bare))
    if not parameters or parameters - set(PARAMETERS) or "?" in bare:
        known = ", :".join(PARAMETERS)
        raise ValueError(f"must select the capture by one of :{known}, and by nothing else")
    try:
        with closing(sqlite3.connect(":memory:")) as empty:
            empty.execute(f"EXPLAIN {text}", dict.fromkeys(PARAMETERS, ""))
    except sqlite3.Error as error:
        if _SYNTAX_ERROR.search(str(error)):  # other errors concern tables that are missing here
            raise ValueError(f"is not SQL ({error})") from None


@dataclass(frozen=True, slots=True)
class Lookup:
    """A camera's own SQLite file, and the query that finds the row of a capture."""

    database: Path
    query: str

    def ask(self, paths: Sequence[str]) -> list[CaptureMetadata]:
        """Return the database's metadata for each path, which is relative to the inbox.

        No error is raised; a capture without an answer gets a warning instead.
        """
        if not paths:
            return []
        try:
            return self._read(paths)
        except OSError:
            code = CaptureWarning.LOOKUP_MISSING
        except sqlite3.Error as error:
            code = _code(error)
        return [_unanswered(code)] * len(paths)

    def _read(self, paths: Sequence[str]) -> list[CaptureMetadata]:
        """Return the database's metadata for each path.

        Raises OSError or sqlite3.Error if the database cannot be read.
        """
        before = _stamp(self.database)
        if not stat.S_ISREG(before.mode):
            return [_unanswered(CaptureWarning.LOOKUP_MISSING)] * len(paths)
        with closing(self._connect(is_at_rest=before.is_at_rest)) as connection:
            answers = list(_answers_in_time(connection, self.query, paths))
        if before.is_at_rest and _stamp(self.database) != before:
            # the camera wrote to the database while it was being read without a lock
            return [_unanswered(CaptureWarning.LOOKUP_LOCKED)] * len(paths)
        return answers

    def _connect(self, *, is_at_rest: bool) -> sqlite3.Connection:
        uri = f"file:{quote(str(self.database))}?mode=ro"
        if is_at_rest:
            uri += "&immutable=1"
        connection = sqlite3.connect(uri, timeout=_BUSY_SECONDS, uri=True)
        connection.text_factory = _text
        connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, _MAX_VALUE_BYTES)
        return connection


def _answers_in_time(
    connection: sqlite3.Connection, query: str, paths: Sequence[str]
) -> Iterator[CaptureMetadata]:
    """Yield an answer for each path.

    Once the time limit is reached or the database is locked, the remaining paths are not queried.
    """
    deadline = monotonic() + _TOTAL_SECONDS
    connection.set_progress_handler(lambda: monotonic() > deadline, _PROGRESS_STEPS)
    is_over = False
    for path in paths:
        answer = _unanswered(CaptureWarning.LOOKUP_LOCKED)
        if not is_over and monotonic() < deadline:
            answer = _answer(connection, query, path)
        is_over = answer.warnings == (CaptureWarning.LOOKUP_LOCKED,)
        yield answer


def _answer(connection: sqlite3.Connection, query: str, path: str) -> CaptureMetadata:
    """Return the metadata in a capture's row, or a warning that says why there is none."""
    pure = PurePosixPath(path.replace("\\", "/"))
    values = {"path": path, "name": pure.name, "stem": pure.stem, "folder": pure.parent.name}
    try:
        cursor = connection.execute(query, values)
        columns = [column[0].lower() for column in cursor.description or ()]
        rows = cursor.fetchmany(2)
    except sqlite3.Error as error:
        return _unanswered(_code(error))
    if not columns or set(columns) - set(COLUMNS) or len(set(columns)) < len(columns):
        return _unanswered(CaptureWarning.LOOKUP_BROKEN)
    if not rows:
        return _unanswered(CaptureWarning.LOOKUP_NO_ROW)
    if len(rows) > 1:
        return _unanswered(CaptureWarning.LOOKUP_AMBIGUOUS)
    row: dict[str, str] = {}
    for column, value in zip(columns, rows[0], strict=True):
        row[column] = _plain(value)
    return of_row(row)


class _Stamp(NamedTuple):
    """The state of a database file; any write to the database changes this state."""

    mode: int
    inode: int
    size: int
    mtime_ns: int
    is_at_rest: bool  # whether it uses a write-ahead log and nobody has it open


def _stamp(database: Path) -> _Stamp:
    """Return the state of a database file.

    Raises OSError if the file cannot be examined.
    """
    status = database.stat()
    is_at_rest = stat.S_ISREG(status.st_mode) and _is_at_rest(database)
    return _Stamp(status.st_mode, status.st_ino, status.st_size, status.st_mtime_ns, is_at_rest)


def _is_at_rest(database: Path) -> bool:
    """Return whether a database uses a write-ahead log and nobody has the database open.

    If such a database were opened as usual, SQLite would create its log and shared memory as files
    of this process's user, which the camera might then be unable to open.
    """
    with database.open("rb") as file:
        header = file.read(20)
    if header[18:] != b"\2\2":  # sqlite.org/fileformat.html, "file format version numbers"
        return False
    real_path = os.path.realpath(database)  # SQLite creates its files beside the target of a link
    return not os.path.lexists(real_path + "-wal") and not os.path.lexists(real_path + "-shm")


def read(naming: Naming, lookup: Lookup | None, paths: Sequence[str]) -> list[CaptureMetadata]:
    """Return the metadata from each path, joined with that from the camera's own database.

    Without `lookup`, only the paths are used.
    """
    by_path = [naming.read(path) for path in paths]
    if lookup is None:
        return by_path
    joined: list[CaptureMetadata] = []
    for of_path, of_database in zip(by_path, lookup.ask(paths), strict=True):
        joined.append(join(of_path, of_database))
    return joined


def of_row(row: Mapping[str, str]) -> CaptureMetadata:
    """Return the eye, patient and other metadata given by a row of the camera's database.

    All values are text, and blank values are ignored.

    >>> of_row({"eye": "OS", "patient": "17"}).eye_source
    <EyeSource.LOOKUP: 'lookup'>
    """
    warnings: list[str] = []
    eyes = _value(row, "eye", _eyes, warnings) or frozenset()
    eye, eye_source = Eye.UNKNOWN, EyeSource.NONE
    if eyes:
        eye_source = EyeSource.LOOKUP
    if len(eyes) == 1:
        eye = min(eyes)
    elif eyes:
        warnings.append(CaptureWarning.EYE_BOTH)
    return CaptureMetadata(
        eye,
        eye_source,
        field=read_field(row.get("field", "")),
        patient=_value(row, "patient", read_patient, warnings),
        date=_value(row, "date", read_date, warnings),
        time=_value(row, "time", read_time, warnings),
        warnings=tuple(warnings),
    )


def _value(
    row: Mapping[str, str], name: str, read: Callable[[str], _Value | None], warnings: list[str]
) -> _Value | None:
    """Return the parsed value of a column in a row, or None if it is blank or unreadable.

    If the value is unreadable, a warning is added.
    """
    text = row.get(name)
    if not text:
        return None
    return agree(name, [read(text)], warnings)


def _eyes(word: str) -> frozenset[Eye] | None:
    return read_eyes(word) or None


def _plain(value: object) -> str:
    """Return a value from a row as a string.

    NULL becomes an empty string, and bytes become a string that no reader accepts.
    """
    if value is None:
        return ""
    if isinstance(value, bytes):
        return _UNREADABLE
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return str(value).strip()


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "surrogateescape")


def _unanswered(code: CaptureWarning) -> CaptureMetadata:
    return CaptureMetadata(warnings=(code,))


def _code(error: sqlite3.Error) -> CaptureWarning:
    """Return the warning code for a database error.

    The code says whether the database is locked, cannot be opened or is broken.
    """
    name = getattr(error, "sqlite_errorname", "")
    if name.startswith(_TEMPORARY_ERRORS):
        return CaptureWarning.LOOKUP_LOCKED
    if name.startswith(_OPEN_ERRORS):
        return CaptureWarning.LOOKUP_MISSING
    return CaptureWarning.LOOKUP_BROKEN

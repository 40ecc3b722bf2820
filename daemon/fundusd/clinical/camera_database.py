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
    from collections.abc import Callable, Mapping, Sequence

    from fundusd.clinical.path_rules import Naming

PARAMETERS = ("path", "name", "stem", "folder")
COLUMNS = ("patient", "eye", "field", "date", "time")

_Value = TypeVar("_Value")

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

    def ask(self, paths: Sequence[str]) -> list[CaptureMetadata]:
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

    def _answers(
        self, connection: sqlite3.Connection, paths: Sequence[str]
    ) -> list[CaptureMetadata]:
        """Ask for one after the other until the time is up, or the database locked: the rest waits no more."""
        end = monotonic() + _ALL_SECONDS
        connection.set_progress_handler(lambda: monotonic() > end, _STEPS)
        found: list[CaptureMetadata] = []
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

    def _answer(self, connection: sqlite3.Connection, path: str) -> CaptureMetadata:
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


def read(naming: Naming, lookup: Lookup | None, paths: Sequence[str]) -> list[CaptureMetadata]:
    """Return what paths say, joined with the camera's own database if it has one."""
    by_path = [naming.read(path) for path in paths]
    if lookup is None:
        return by_path
    by_row = lookup.ask(paths)
    return [join(*pair) for pair in zip(by_path, by_row, strict=True)]


def of_row(row: Mapping[str, str]) -> CaptureMetadata:
    """Return what a row of the camera's database says, given as text; blank values are ignored.

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
    """Read a column of a row; None if it is missing or blank, with a warning if it is unreadable."""
    text = row.get(name)
    if not text:
        return None
    return agree(name, [read(text)], warnings)


def _eyes(word: str) -> frozenset[Eye] | None:
    return read_eyes(word) or None


def _plain(value: object) -> str:
    """Return a value as text, "" for none; bytes are no text that could be read."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return "" if value is None else _UNREADABLE if isinstance(value, bytes) else str(value).strip()


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "surrogateescape")


def _trouble(code: str) -> CaptureMetadata:
    return CaptureMetadata(warnings=(code,))


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

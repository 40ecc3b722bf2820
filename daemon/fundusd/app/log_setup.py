"""structlog: JSON lines for the journal, a console for people, and nothing that names a patient."""

from __future__ import annotations

import logging
import os
import sys
import traceback
from typing import TYPE_CHECKING, Any, TextIO

import orjson
import structlog

from fundusd.domain.errors import FundusdError

if TYPE_CHECKING:
    from structlog.typing import EventDict, Processor, WrappedLogger

# journald reads <N> at the start of a line as its priority
_PRIORITIES = {"critical": 2, "error": 3, "warning": 4, "info": 6, "debug": 7}
_LEVELS = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
}

# every field a line may carry, as docs/logs.md explains them; anything else is dropped and its name told
FIELDS = frozenset(
    {
        "ts", "level", "event", "service", "camera", "capture_id", "digest", "revision", "eye", "eye_source",
        "patient_key", "outcome", "reason", "action", "grade", "referable", "scores", "model", "release_id", "dtype",
        "device", "attempt", "batch_size", "read_ms", "decode_ms", "model_ms", "record_ms", "turnaround_ms", "files",
        "directories", "new", "waiting", "ignored", "missing", "unreadable", "seconds", "log_level", "lease_probe", "count",
        "wait_seconds", "version", "signal", "error", "hint", "exception", "frames", "logger", "limit", "keys",
        "quiet_seconds", "dropped", "warnings", "runtime", "hints_healthy", "entries", "remote",
        "prompt_set", "preprocessing", "parts", "cosine", "tolerance", "receiver", "exam_id",
    }
)  # fmt: skip


def configure(level: str, form: str, stream: TextIO | None = None) -> None:
    """Set structlog up: level as in [log], form "auto" | "console" | "json"."""
    out = stream or sys.stdout
    console = form == "console" or (form == "auto" and out.isatty())
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True, key="ts"),
            _exception,
            _allowed,
            *(_for_people(out) if console else _for_machines(out)),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(_LEVELS[level]),
        logger_factory=structlog.WriteLoggerFactory(file=out),
        cache_logger_on_first_use=False,
    )
    _bridge()


def _for_people(out: TextIO) -> list[Processor]:
    return [structlog.dev.ConsoleRenderer(colors=out.isatty(), timestamp_key="ts", sort_keys=False)]


def _for_machines(out: TextIO) -> list[Processor]:
    return [_JournalLines(prefixed=_is_journal(out))]


class _JournalLines:
    """Render one JSON object a line, ts, level and event first; with journald's priority prefix where it reads."""

    def __init__(self, *, prefixed: bool) -> None:
        self._prefixed = prefixed

    def __call__(self, _logger: WrappedLogger, _name: str, event: EventDict) -> str:
        first = {key: event.pop(key) for key in ("ts", "level", "event") if key in event}
        line = orjson.dumps(
            {**first, **event}, default=str, option=orjson.OPT_NON_STR_KEYS
        ).decode()
        return f"<{_PRIORITIES[first['level']]}>{line}" if self._prefixed else line


def _is_journal(out: TextIO) -> bool:
    """Tell whether `out` is the journal's own stream (JOURNAL_STREAM holds its device and inode)."""
    try:
        status = os.fstat(out.fileno())
    except (OSError, ValueError):
        return False
    return os.environ.get("JOURNAL_STREAM") == f"{status.st_dev}:{status.st_ino}"


def _exception(_logger: WrappedLogger, _name: str, event: EventDict) -> EventDict:
    """Replace an exception by its class and frames: texts and local variables can hold names of patients."""
    error = event.pop("exc_info", None)
    if isinstance(error, BaseException):
        event["exception"] = type(error).__name__
        event["frames"] = [
            f"{frame.filename.rpartition('/')[2]}:{frame.lineno} {frame.name}"
            for frame in traceback.extract_tb(error.__traceback__)[-20:]
        ]
        if isinstance(error, FundusdError):
            event["error"] = error.message
            event["hint"] = error.hint
    return event


def _allowed(_logger: WrappedLogger, _name: str, event: EventDict) -> EventDict:
    dropped = sorted(event.keys() - FIELDS)
    for key in dropped:
        del event[key]
    if dropped:
        event["dropped"] = dropped
    return event


class _Bridge(logging.Handler):
    """Tell that a library warned, not what it said: its text may hold a path or a tag."""

    def emit(self, record: logging.LogRecord) -> None:
        """Log one line with the library's logger and the exception's class."""
        details: dict[str, Any] = {"logger": record.name}
        if record.exc_info and record.exc_info[1] is not None:
            details["exception"] = type(record.exc_info[1]).__name__
        log = structlog.get_logger()
        (log.error if record.levelno >= logging.ERROR else log.warning)(
            "library.warning", **details
        )


def _bridge() -> None:
    root = logging.getLogger()
    root.handlers = [handler for handler in root.handlers if not isinstance(handler, _Bridge)] + [
        _Bridge()
    ]
    root.setLevel(logging.WARNING)

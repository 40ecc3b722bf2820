"""Configure structlog to write JSON lines or console lines.

Neither contains the name of a patient.
"""

from __future__ import annotations

import logging
import sys
import traceback
from typing import TYPE_CHECKING, Any, TextIO

import orjson
import structlog

from fundusd.app.systemd import is_journal
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

# every event; docs/logs.md explains each
EVENTS = frozenset(
    {
        "camera.clock_skew", "camera.offline", "camera.online", "camera.turned", "capture.broke",
        "capture.failed", "capture.graded", "capture.not_storable", "capture.postponed",
        "capture.quarantined", "capture.refused", "capture.reused", "capture.ungradable",
        "capture.unknown_format", "capture.unreadable", "decoder.replaced", "decoder.unconfined",
        "device.unused",
        "document.broke", "document.postponed", "document.refused", "document.sent",
        "hints.attached", "hints.lost", "job.lease_lost", "jobs.given_back", "ledger.away",
        "ledger.back", "ledger.identity_unkept", "ledger.replaced", "library.warning", "log.lost",
        "model.batch_halved",
        "model.batch_restored", "model.canary", "model.loaded", "model.prepared",
        "model.touched", "model.unusable_answer", "receiver.away", "receiver.back",
        "rule.unsafe", "service.failed", "service.ready", "service.started", "service.stopped",
        "service.stopping", "settings.refused", "settings.reloaded", "settings.restart_needed",
        "sweep.finished", "sweep.unreadable",
    }
)  # fmt: skip

# every field that a line may have; docs/logs.md explains each, and other fields are dropped
FIELDS = frozenset(
    {
        "ts", "level", "event", "service", "camera", "capture_id", "digest", "revision", "eye",
        "eye_source", "patient_key", "outcome", "reason", "action", "grade",
        "scores", "model", "release_id", "dtype", "device", "runtime", "prompt_set",
        "preprocessing", "version", "attempt", "batch_size", "read_ms", "decode_ms", "model_ms",
        "record_ms", "turnaround_ms", "files", "directories", "new", "waiting", "ignored",
        "seconds", "missing", "entries", "log_level", "cosine", "tolerance", "count", "limit",
        "wait_seconds", "keys", "parts", "signal", "warnings", "receiver", "exam_id", "error",
        "hint", "exception", "frames", "logger", "dropped", "former", "orientation",
    }
)  # fmt: skip


def configure(level: str, log_format: str, stream: TextIO | None = None) -> None:
    """Configure structlog with the level and format of [log].

    The format "auto" means "console" on a terminal and "json" elsewhere.
    """
    out = stream or sys.stdout
    renderers: list[Processor] = [_JournalLines(prefixed=is_journal(out))]
    if log_format == "console" or (log_format == "auto" and out.isatty()):
        colours = out.isatty()
        renderers = [
            structlog.dev.ConsoleRenderer(colors=colours, timestamp_key="ts", sort_keys=False)
        ]
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True, key="ts"),
            _exception,
            _allowed,
            *renderers,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(_LEVELS[level]),
        logger_factory=structlog.WriteLoggerFactory(file=out),
        cache_logger_on_first_use=False,
    )
    _bridge()


class _JournalLines:
    """Renders each event as one line of JSON.

    If `prefixed` is true, the line begins with the priority in the form that journald reads.
    """

    def __init__(self, *, prefixed: bool) -> None:
        self._prefixed = prefixed

    def __call__(self, _logger: WrappedLogger, _name: str, event: EventDict) -> str:
        ordered: dict[str, Any] = {}
        for key in ("ts", "level", "event"):
            if key in event:
                ordered[key] = event.pop(key)
        ordered |= event
        line = orjson.dumps(ordered, default=str, option=orjson.OPT_NON_STR_KEYS).decode()
        if not self._prefixed:
            return line
        return f"<{_PRIORITIES[ordered['level']]}>{line}"


def _exception(_logger: WrappedLogger, _name: str, event: EventDict) -> EventDict:
    """Replace an exception with its class and frames.

    Its text is left out, because it may contain a patient's name. Only a FundusdError keeps its
    message and hint.
    """
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
    """Logs a library's warnings without their text, which may contain a path or a DICOM tag."""

    def emit(self, record: logging.LogRecord) -> None:
        """Log the name of the library's logger, and the exception's class if there is one."""
        details: dict[str, Any] = {"logger": record.name}
        if record.exc_info and record.exc_info[1] is not None:
            details["exception"] = type(record.exc_info[1]).__name__
        log = structlog.get_logger()
        write = log.error if record.levelno >= logging.ERROR else log.warning
        write("library.warning", **details)


def _bridge() -> None:
    logging.captureWarnings(True)  # otherwise they are written to standard error
    root = logging.getLogger()
    for handler in list(root.handlers):
        if isinstance(handler, _Bridge):
            root.removeHandler(handler)
    root.addHandler(_Bridge())
    root.setLevel(logging.WARNING)

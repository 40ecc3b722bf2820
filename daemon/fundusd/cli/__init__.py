"""Define the command line, which reports every error as a sentence, a hint and an exit status."""

from __future__ import annotations

import errno
import gc
import os
import sys
import traceback
from contextlib import suppress
from typing import NoReturn

import typer

from fundusd.cli import (
    audit,
    bench,
    check,
    classify,
    correct,
    db,
    demo,
    follow_up,
    model,
    outbox,
    person,
    quality,
    reconcile,
    report,
    results,
    retry,
    review,
    run,
    show,
    status,
    worklist,
)
from fundusd.domain.errors import ExitStatus, FundusdError

app = typer.Typer(
    name="fundusd",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Watch a fundus camera's export folder, grade each capture for diabetic retinopathy, and "
    "keep results and an audit log.\n\n"
    "For research use only; not a medical device.\n\n"
    "Start with `fundusd demo`. `fundusd COMMAND --help` explains a command, with examples.",
)
# in the order of --help, which lists commands before groups: service, results, readers, site, model
run.add_to(app)
demo.add_to(app)
check.add_to(app)
status.add_to(app)
results.add_to(app)
show.add_to(app)
app.add_typer(report.app, name="report")
worklist.add_to(app)
app.add_typer(review.app, name="review")
app.add_typer(correct.app, name="correct")
app.add_typer(follow_up.app, name="follow-up")
person.add_to(app)
reconcile.add_to(app)
retry.add_to(app)
app.add_typer(outbox.app, name="outbox")
app.add_typer(quality.app, name="quality")
classify.add_to(app)
app.add_typer(model.app, name="model")
bench.add_to(app)
app.add_typer(db.app, name="db")
app.add_typer(audit.app, name="audit")

_IMPORTED_OBJECTS = 20_000  # collecting garbage during imports takes a quarter of the startup time

_JOURNAL_ERROR = "<3>"  # at the start of a line, journald reads this as its priority
_FULL_OR_CLOSED = {errno.ENOSPC, errno.EDQUOT, errno.EPIPE}  # of a disk, a quota or a pipe


def main() -> None:
    """Run a command, and report every error as a sentence and a hint, never as a traceback."""
    gc.set_threshold(_IMPORTED_OBJECTS)
    try:
        _run()
    except FundusdError as error:
        _report(error.message, error.hint, error)
        sys.exit(error.exit_code)
    except OSError as error:
        if error.errno not in _FULL_OR_CLOSED:
            _report_defect(error)
        _discard_output()
        if error.errno != errno.EPIPE:  # whoever closed a pipe has read enough
            _report(f"The output cannot be written ({error.strerror}).", "", error)
        sys.exit(ExitStatus.USAGE)
    except Exception as error:  # noqa: BLE001  the top of the command line
        _report_defect(error)


def _run() -> None:
    try:
        app()
    except SystemExit as ended:
        if isinstance(ended.__context__, BrokenPipeError):  # Typer exits with 1
            raise ended.__context__ from None
        raise
    finally:
        if sys.stdout is not None:  # None in a program that was started without it
            sys.stdout.flush()  # here, where an error can still be reported


def _discard_output() -> None:
    """Discard what is still to be printed.

    Otherwise, Python would try again to print it at its end, and change the exit status.
    """
    with suppress(OSError):  # a service that was started without standard output has none
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _report_defect(error: Exception) -> NoReturn:
    hint = "This is a defect of fundusd. Report it with this line and the log lines before it."
    _report(_place(error), hint, error)
    sys.exit(ExitStatus.DEFECT)


def _place(error: Exception) -> str:
    """Return a sentence that names the exception's class and the place where it was raised.

    The sentence omits the exception's text, which may name a patient.
    """
    frame = traceback.extract_tb(error.__traceback__)[-1]
    file = os.path.basename(frame.filename)  # noqa: PTH119  pathlib is not imported here
    return f"fundusd broke: {type(error).__name__} in {frame.name}, {file}:{frame.lineno}."


def _report(message: str, hint: str, error: Exception) -> None:
    """Log an error, or print it to standard error if logging is not configured.

    Of all commands, only `fundusd run` configures logging.
    """
    structlog = sys.modules.get("structlog")  # importing it takes a third of a second
    if structlog is not None and structlog.is_configured():
        structlog.get_logger(service="app").critical(
            "service.failed", error=message, hint=hint, exc_info=error
        )
        return
    from fundusd.app.systemd import is_journal

    prefix = ""
    if sys.stderr is not None and is_journal(sys.stderr):
        prefix = _JOURNAL_ERROR
    with suppress(OSError):  # nobody reads standard error: the exit status still tells
        text = f"fundusd: {message}\n  {hint}" if hint else f"fundusd: {message}"
        for line in text.splitlines():
            print(prefix + line, file=sys.stderr)

"""The command line: every error becomes one sentence, a hint and an exit code."""

from __future__ import annotations

import gc
import os
import sys
import traceback

import typer

from fundusd.cli import (
    bench,
    check,
    classify,
    database,
    model,
    outbox,
    person,
    quality,
    reconcile,
    reports,
    results,
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
    help="Watch a fundus camera's export folder, grade each capture for diabetic retinopathy, keep a ledger.\n\n"
    "For research use only; not a medical device. Start with: fundusd demo",
)
for commands in (
    run,
    classify,
    results,
    status,
    reconcile,
    show,
    worklist,
    person,
    review,
    check,
    bench,
):
    commands.add_to(app)
reports.add_to(show.report)
app.add_typer(show.report, name="report")
app.add_typer(model.app, name="model")
app.add_typer(outbox.app, name="outbox")
app.add_typer(quality.app, name="quality")
app.add_typer(database.db, name="db")
app.add_typer(database.audit, name="audit")


def main() -> None:
    """Run a command; no traceback reaches an operator who made a mistake."""
    gc.set_threshold(
        20_000
    )  # the thousands of objects that imports make are no garbage: a quarter of the start
    try:
        app()
    except FundusdError as error:
        _tell(error.message, error.hint, error)
        sys.exit(error.exit_code)
    except Exception as error:  # noqa: BLE001  the top of the command line
        _tell(
            _where(error),
            "This is a defect of fundusd: report this line, and the log before it.",
            error,
        )
        sys.exit(ExitStatus.DEFECT)


def _where(error: Exception) -> str:
    """Say what broke and where; an exception's own text may hold the name of a patient."""
    frame = traceback.extract_tb(error.__traceback__)[-1]
    return f"fundusd broke: {type(error).__name__} in {frame.name}, {os.path.basename(frame.filename)}:{frame.lineno}."  # noqa: PTH119


def _tell(message: str, hint: str, error: Exception) -> None:
    """Log it where a log is kept (`run`), else tell the person at the terminal."""
    structlog = sys.modules.get("structlog")  # a third of a second for those who keep no log
    if structlog is not None and structlog.is_configured():
        structlog.get_logger(service="app").critical(
            "service.failed", error=message, hint=hint, exc_info=error
        )
    else:
        print(f"fundusd: {message}", file=sys.stderr)
        if hint:
            print(f"  {hint}", file=sys.stderr)

"""Define the command line: all commands and groups of commands."""

from __future__ import annotations

from typing import Annotated

import typer

import fundusd
from fundusd.cli import (
    audit,
    bench,
    check,
    classify,
    config,
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

app = typer.Typer(
    name="fundusd",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Watch a fundus camera's export folder, grade each capture for diabetic retinopathy, and "
    "keep results and an audit log.\n\n"
    "For research use only; not a medical device.\n\n"
    "Start with `fundusd demo`. `fundusd COMMAND --help` explains a command, with examples.",
)


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"fundusd {fundusd.__version__}")
        raise typer.Exit


@app.callback()
def fundusd_command(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version and exit."
        ),
    ] = False,
) -> None:
    """Take the options of fundusd itself; the help is that of `app`."""


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
app.add_typer(config.app, name="config")
app.add_typer(db.app, name="db")
app.add_typer(audit.app, name="audit")

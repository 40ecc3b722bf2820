"""fundusd run, fundusd demo."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fundusd.cli.options import Config, Revision


def add_to(app: typer.Typer) -> None:
    """Register the commands."""
    app.command()(run)
    app.command()(demo)


def run(config: Config = None) -> None:
    """Watch the inboxes and grade what arrives, in the foreground; this is what systemd starts.

    SIGTERM finishes the batch in hand and gives the rest back; a second one stops at once. SIGHUP reads the
    settings again, takes over the log level and sweeps every inbox.

    Example: fundusd run --config /etc/fundusd/fundusd.toml
    """
    from fundusd.app import daemon, settings

    daemon.run(settings.path_of(config))


def demo(
    model: Annotated[
        str,
        typer.Option(
            "--model", metavar="SOURCE", help="Hub id, folder, or the shipped test model."
        ),
    ] = "phantom",
    revision: Revision = "",
    keep: Annotated[
        Path | None,
        typer.Option(
            "--keep",
            metavar="DIR",
            help="Keep inbox, settings and database in DIR.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Show the whole service at work on rendered test photographs, in under a minute.

    Starts the real daemon on a temporary inbox and database, drops captures into it as a camera would, and
    prints what became of each. With the shipped test model the grades are not for patients.

    Examples: fundusd demo; fundusd demo --keep /tmp/demo
    """
    from fundusd.app import demo as show

    show.run(model, revision, keep)

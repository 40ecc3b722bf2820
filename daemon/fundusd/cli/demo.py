"""fundusd demo: show the service at work on rendered photographs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fundusd.cli.layout import Command
from fundusd.cli.options import Revision

_Model = Annotated[
    str,
    typer.Option(
        "--model", metavar="SOURCE", help="Hub id, folder, or phantom (the shipped test model)."
    ),
]
_Keep = Annotated[
    Path | None,
    typer.Option(
        "--keep",
        metavar="DIR",
        help="Keep inbox, settings and database in DIR, which must be new or empty.",
        show_default=False,
    ),
]


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command(cls=Command)(demo)


def demo(model: _Model = "phantom", revision: Revision = "", keep: _Keep = None) -> None:
    """Show the whole service at work on rendered photographs.

    Starts the real daemon on a temporary inbox and database, writes captures into the inbox as a
    camera would, and prints the result of each. The demo takes less than a minute. Never use the
    shipped test model to grade patients.

    Examples:
      fundusd demo
      fundusd demo --keep /tmp/demo
    """
    from fundusd.app import demo as demonstration

    demonstration.run(model, revision, keep)

"""fundusd retry: queue failed captures again."""

from __future__ import annotations

from typing import Annotated

import typer

from fundusd.cli.layout import Command
from fundusd.cli.options import LARGEST_NUMBER, Config, load

_Capture = Annotated[
    int | None,
    typer.Argument(
        metavar="CAPTURE", min=1, max=LARGEST_NUMBER, help="Number of a failed capture."
    ),
]
_Failed = Annotated[bool, typer.Option("--failed", help="Queue every failed capture.")]


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command(cls=Command)(retry)


def retry(capture: _Capture = None, config: Config = None, failed: _Failed = False) -> None:
    """Queue one failed capture, or every one, again.

    Each gets as many attempts as a new capture. The exit status is 1 if the named capture has not
    failed.

    Examples:
      fundusd retry 4711
      fundusd retry --failed
    """
    if (capture is None) != failed:
        raise typer.BadParameter("give one CAPTURE, or --failed to queue every failed capture")
    from fundusd.app.open_ledger import opened_ledger

    with opened_ledger(load(config)) as ledger:
        ledger.check()
        if capture is None:
            print(f"{ledger.retry_failed()} queued again.")
        elif ledger.retry(capture):
            print(f"Capture {capture} is queued again.")
        else:
            print(f"Capture {capture} has not failed; nothing was changed.")
            raise typer.Exit(1)

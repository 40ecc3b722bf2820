"""fundusd audit: verify the audit chain."""

from __future__ import annotations

import typer

from fundusd.cli.layout import Command, Group
from fundusd.cli.options import Config, Json, load
from fundusd.cli.output import as_json

app = typer.Typer(cls=Group, no_args_is_help=True)


@app.callback()
def audit() -> None:
    """Verify the audit chain."""


@app.command(cls=Command)
def verify(config: Config = None, json: Json = False) -> None:
    """Verify the audit chain, and compare every result with it.

    If the verification fails, prints the first sequence number that is wrong; the exit status is
    then 1.

    Example:
      fundusd audit verify
    """
    from fundusd.app.open_ledger import opened_ledger

    with opened_ledger(load(config)) as ledger:
        ledger.check()
        verdict = ledger.verify()
    if json:
        print(as_json(verdict))
    elif verdict.broken_seq is None:
        print(
            f"The audit chain holds: {verdict.events} events, {verdict.results} results, "
            f"head {verdict.head}."
        )
    else:
        print(f"The audit chain is broken at seq {verdict.broken_seq}: {verdict.problem}.")
        print(
            "Stop the service, keep a copy of the database as evidence, "
            "and restore the last good backup."
        )
    if verdict.broken_seq is not None:
        raise typer.Exit(1)

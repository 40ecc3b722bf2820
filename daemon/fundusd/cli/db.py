"""fundusd db: create, upgrade and check the database schema."""

from __future__ import annotations

import typer

from fundusd.cli.layout import Command
from fundusd.cli.options import Config, load

app = typer.Typer(help="Create, upgrade and check the database schema.", no_args_is_help=True)


@app.command(cls=Command)
def upgrade(config: Config = None) -> None:
    """Create the schema, or upgrade it to this program's version.

    Stop the service first. The upgrade is a single transaction.

    Example:
      fundusd db upgrade
    """
    from fundusd.app.open_ledger import opened_ledger

    with opened_ledger(load(config)) as ledger, ledger.held():
        done = ledger.upgrade()
    if done.before == done.after:
        print(f"The schema is at {done.after}.")
        return
    print(f"The schema was upgraded from {done.before or 'nothing'} to {done.after}.")
    if done.judged_exams:
        print(
            f"Exams judged by the rules of this version: {done.judged_exams}; "
            f"changed: {done.changed_exams}."
        )


@app.command(cls=Command)
def check(config: Config = None) -> None:
    """Check the schema's version and the audit guards.

    Example:
      fundusd db check
    """
    from fundusd.app.open_ledger import opened_ledger

    with opened_ledger(load(config)) as ledger:
        print(f"The schema is at {ledger.check()}, the version that this program needs.")

"""fundusd db and fundusd audit."""

from __future__ import annotations

import typer

from fundusd.cli.options import Config, Json, as_json, load

db = typer.Typer(help="Create, upgrade and check the database schema.", no_args_is_help=True)
audit = typer.Typer(help="The audit chain.", no_args_is_help=True)


@db.command("upgrade")
def db_upgrade(config: Config = None) -> None:
    """Create the schema, or bring it to the revision this program needs; in one transaction.

    Example: fundusd db upgrade
    """
    from fundusd.app.open_ledger import opened_ledger

    with opened_ledger(load(config)) as ledger, ledger.held():
        before, after = ledger.upgrade()
    print(
        f"The schema is at {after}."
        if before == after
        else f"The schema went from {before or 'nothing'} to {after}."
    )


@db.command("check")
def db_check(config: Config = None) -> None:
    """Check that the schema is the one this program needs, and that the audit guards stand.

    Example: fundusd db check
    """
    from fundusd.app.open_ledger import opened_ledger

    with opened_ledger(load(config)) as ledger:
        print(f"The schema is at {ledger.check()}, as it should be.")


@audit.command("verify")
def audit_verify(config: Config = None, json: Json = False) -> None:
    """Walk the audit chain and compare every result with its audit row.

    Exit status 1 with the first sequence number that does not hold.

    Example: fundusd audit verify
    """
    from fundusd.app.open_ledger import opened_ledger

    with opened_ledger(load(config)) as ledger:
        ledger.check()
        verdict = ledger.verify()
    if json:
        print(as_json(verdict))
    elif verdict.broken_seq is None:
        print(
            f"The audit chain holds: {verdict.events} events, {verdict.results} results, head {verdict.head}."
        )
    else:
        print(f"The audit chain is broken at seq {verdict.broken_seq}: {verdict.problem}.")
        print(
            "Stop the service, keep a copy of the database as evidence, and restore the last good backup."
        )
    raise typer.Exit(0 if verdict.broken_seq is None else 1)

"""fundusd check, retry, db, audit: an operator's tools."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fundusd.cli.options import Config, Json, as_json, load

if TYPE_CHECKING:
    from fundusd.checking import Finding

db = typer.Typer(help="Create, upgrade and check the database schema.", no_args_is_help=True)
audit = typer.Typer(help="The audit chain.", no_args_is_help=True)


def add_to(app: typer.Typer) -> None:
    """Register the commands."""
    app.command()(check)
    app.command()(retry)


def check(
    config: Config = None,
    names: Annotated[
        Path | None,
        typer.Option("--names", metavar="DIR", help="Show what the paths in DIR would tell.", show_default=False),
    ] = None,
    convention: Annotated[
        str, typer.Option("--convention", metavar="NAME", help="With --names: by this convention, not generic.")
    ] = "",
    camera: Annotated[
        str, typer.Option("--camera", metavar="ID", help="With --names: as the settings say of this camera.")
    ] = "",
    json: Json = False,
) -> None:
    """Check settings, inboxes, cameras' databases, site key, database and model; one line each, with what to do.

    Exit status 78 for wrong settings, 1 when anything else is not as it should be.

    With --names, show instead which eye, field, patient and date the paths in a folder would tell, and how many
    would not: a convention or pattern is tried before it is set. No file is opened, nothing is changed; with --camera
    that camera's own database is asked, where its settings name one.

    Examples: fundusd check --config /etc/fundusd/fundusd.toml;
    fundusd check --names /srv/camera/export --convention eyepacs;
    fundusd check --names /srv/camera/export --camera cr2-room1 --json
    """
    if names is not None:
        from fundusd.cli.names import naming_of, show

        show(names, *naming_of(config, convention, camera), json=json)
        return
    if convention or camera:
        raise typer.BadParameter("--convention and --camera go with --names")
    settings = load(config)
    from fundusd import checking

    found = list(checking.check(settings))
    if json:
        print(as_json(found))
    else:
        print("ok    settings")
        for one in found:
            _print_finding(one)
    raise typer.Exit(0 if all(one.ok for one in found) else 1)


def _print_finding(one: Finding) -> None:
    print(f"{'ok' if one.ok else 'WRONG':<5} {one.subject}: {one.verdict}")
    if one.hint:
        print(f"      {one.hint}")


def retry(
    capture: Annotated[int | None, typer.Argument(metavar="CAPTURE", help="A failed capture's number.")] = None,
    config: Config = None,
    failed: Annotated[bool, typer.Option("--failed", help="Every capture that failed.")] = False,
) -> None:
    """Queue a failed capture again, with all its attempts.

    Examples: fundusd retry 4711; fundusd retry --failed
    """
    if (capture is None) != failed:
        raise typer.BadParameter("name one CAPTURE, or --failed for all of them")
    from fundusd.store import opened_ledger

    with opened_ledger(load(config)) as ledger:
        ledger.check()
        if capture is None:
            print(f"{ledger.retry_failed()} queued again.")
        elif ledger.retry(capture):
            print(f"Capture {capture} is queued again.")
        else:
            print(f"Capture {capture} has not failed; nothing was changed.")
            raise typer.Exit(1)


@db.command("upgrade")
def db_upgrade(config: Config = None) -> None:
    """Create the schema, or bring it to the revision this program needs; in one transaction.

    Example: fundusd db upgrade
    """
    from fundusd.store import opened_ledger

    with opened_ledger(load(config)) as ledger, ledger.held():
        before, after = ledger.upgrade()
    print(
        f"The schema is at {after}." if before == after else f"The schema went from {before or 'nothing'} to {after}."
    )


@db.command("check")
def db_check(config: Config = None) -> None:
    """Check that the schema is the one this program needs, and that the audit guards stand.

    Example: fundusd db check
    """
    from fundusd.store import opened_ledger

    with opened_ledger(load(config)) as ledger:
        print(f"The schema is at {ledger.check()}, as it should be.")


@audit.command("verify")
def audit_verify(config: Config = None, json: Json = False) -> None:
    """Walk the audit chain and compare every result with its audit row.

    Exit status 1 with the first sequence number that does not hold.

    Example: fundusd audit verify
    """
    from fundusd.store import opened_ledger

    with opened_ledger(load(config)) as ledger:
        ledger.check()
        verdict = ledger.verify()
    if json:
        print(as_json(verdict))
    elif verdict.broken_seq is None:
        print(f"The audit chain holds: {verdict.events} events, {verdict.results} results, head {verdict.head}.")
    else:
        print(f"The audit chain is broken at seq {verdict.broken_seq}: {verdict.problem}.")
        print("Stop the service, keep a copy of the database as evidence, and restore the last good backup.")
    raise typer.Exit(0 if verdict.broken_seq is None else 1)

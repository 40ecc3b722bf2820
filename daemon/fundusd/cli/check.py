"""fundusd check and fundusd retry."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fundusd.cli.options import Config, Json, as_json, load

if TYPE_CHECKING:
    from fundusd.app.health_check import Finding


def add_to(app: typer.Typer) -> None:
    """Register the commands."""
    app.command()(check)
    app.command()(retry)


def check(
    config: Config = None,
    names: Annotated[
        Path | None,
        typer.Option(
            "--names",
            metavar="DIR",
            help="Show what the paths in DIR would tell.",
            show_default=False,
        ),
    ] = None,
    convention: Annotated[
        str,
        typer.Option(
            "--convention", metavar="NAME", help="With --names: by this convention, not generic."
        ),
    ] = "",
    camera: Annotated[
        str,
        typer.Option(
            "--camera", metavar="ID", help="With --names: as the settings say of this camera."
        ),
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
        from fundusd.cli.path_preview import naming_of, show

        show(names, *naming_of(config, convention, camera), json=json)
        return
    if convention or camera:
        raise typer.BadParameter("--convention and --camera go with --names")
    settings = load(config)
    from fundusd.app import health_check

    found = list(health_check.check(settings))
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
    capture: Annotated[
        int | None, typer.Argument(metavar="CAPTURE", help="A failed capture's number.")
    ] = None,
    config: Config = None,
    failed: Annotated[bool, typer.Option("--failed", help="Every capture that failed.")] = False,
) -> None:
    """Queue a failed capture again, with all its attempts.

    Examples: fundusd retry 4711; fundusd retry --failed
    """
    if (capture is None) != failed:
        raise typer.BadParameter("name one CAPTURE, or --failed for all of them")
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

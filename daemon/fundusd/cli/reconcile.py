"""fundusd reconcile: account for every file of every inbox."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import typer

from fundusd.cli.options import TABLE_ROWS, Config, Json, as_json, load
from fundusd.domain.files import SWEEP_SHARE, Inbox

if TYPE_CHECKING:
    from fundusd.app.reconcile import Reconciliation
    from fundusd.app.settings import Intake


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command()(reconcile)


def reconcile(config: Config = None, json: Json = False) -> None:
    """Account for every file in every inbox: waiting, succeeded by outcome, failed, or ignored by reason.

    Exit status 1 if any file is unaccounted for. A file that changed within the last two sweeps counts as waiting.

    Example: fundusd reconcile
    """
    from fundusd.app.open_ledger import opened_ledger
    from fundusd.app.reconcile import reconcile as compare
    from fundusd.app.settings import require_camera

    settings = load(config)
    require_camera(settings)
    with opened_ledger(settings) as ledger:
        ledger.check()
        took = {camera["id"]: camera.get("seconds", 0.0) for camera in ledger.status()["cameras"]}
        found = [
            compare(
                ledger,
                Inbox(camera.id, camera.inbox),
                _grace(settings.intake, took.get(camera.id, 0.0)),
            )
            for camera in settings.camera
        ]
    if json:
        print(as_json([_as_told(one) for one in found]))
    else:
        _print_reconciled(found)
    raise typer.Exit(1 if any(one.unaccounted for one in found) else 0)


def _grace(intake: Intake, sweep_took: float) -> float:
    """Return the seconds in which a sweep comes by for certain, twice: a long one rests for long."""
    return 2 * (
        intake.quiet_seconds + max(intake.sweep_seconds, SWEEP_SHARE * sweep_took) + sweep_took
    )


def _as_told(one: Reconciliation) -> dict[str, Any]:
    unaccounted = [path.decode("utf-8", "backslashreplace") for path in one.unaccounted]
    return {
        "camera": one.camera_id,
        "files": one.files,
        "counts": dict(one.counts),
        "unaccounted": unaccounted,
    }


def _print_reconciled(found: list[Reconciliation]) -> None:
    from rich.console import Console

    from fundusd.reports.terminal_table import table_of

    rows = [
        {"camera": one.camera_id, "files are": standing, "count": str(count)}
        for one in found
        for standing, count in sorted(one.counts.items())
    ]
    total = sum(one.files for one in found)
    lost = sum(len(one.unaccounted) for one in found)
    console = Console()
    console.print(table_of(rows))
    console.print(
        f"{total} files, {total - lost} accounted for, {lost} unaccounted for.", highlight=False
    )
    for one in found:
        for path in one.unaccounted[:TABLE_ROWS]:
            console.print(
                f"  {one.camera_id}: {path.decode('utf-8', 'backslashreplace')}",
                highlight=False,
                markup=False,
            )

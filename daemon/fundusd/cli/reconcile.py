"""fundusd reconcile: account for every file in every inbox."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import typer

from fundusd.cli.layout import Command
from fundusd.cli.options import TABLE_ROWS, Config, Json, Wide, load
from fundusd.cli.output import as_json, path_text, print_table
from fundusd.domain.errors import InboxError
from fundusd.domain.files import SWEEP_SHARE

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from fundusd.app.reconcile import Reconciliation
    from fundusd.app.settings_service import IntakeSettings


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command(cls=Command)(reconcile)


def reconcile(config: Config = None, json: Json = False, wide: Wide = False) -> None:
    """Account for every file in every inbox.

    Counts the files in each state: waiting, succeeded (by outcome), failed, or ignored (by reason).
    A file that changed within the last two sweeps counts as waiting. An inbox or a folder that
    cannot be listed is named, and so is an inbox that the service has recorded as offline; the
    others are counted. The exit status is 2 if there is one, otherwise 1 if a file is unaccounted
    for.

    Example:
      fundusd reconcile
    """
    from fundusd.app.open_ledger import opened_ledger
    from fundusd.app.reconcile import reconcile as compare
    from fundusd.app.settings import require_camera

    settings = load(config)
    require_camera(settings)
    inboxes = []
    with opened_ledger(settings) as ledger:
        ledger.check()
        recorded = {camera["id"]: camera for camera in ledger.status()["cameras"]}
        for camera in settings.camera:
            state = recorded.get(camera.id, {})
            grace = _grace_seconds(settings.intake, state.get("seconds", 0.0))
            inbox = compare(ledger, camera.watched, grace)
            inbox.outage = state.get("offline_reason")
            inboxes.append(inbox)
    if json:
        print(as_json([_as_dict(inbox) for inbox in inboxes]))
    else:
        _print(inboxes, wide=wide)
    _require_readable(inboxes, {camera.id: camera.inbox for camera in settings.camera})
    _require_online(inboxes)
    for inbox in inboxes:
        if inbox.unaccounted:
            raise typer.Exit(1)


def _require_readable(inboxes: Sequence[Reconciliation], folders: Mapping[str, Path]) -> None:
    """Raise InboxError if an inbox, or a folder in one, could not be listed."""
    from fundusd.app import inbox_trouble

    cameras = [inbox.camera_id for inbox in inboxes if inbox.unreadable]
    if not cameras:
        return
    troubles = [inbox_trouble.look(folders[camera_id]) for camera_id in cameras]
    hints = {"Let this user read the folders." if each is None else each.hint for each in troubles}
    raise InboxError(
        "Not every file is counted: an inbox, or a folder in it, cannot be listed"
        f" ({', '.join(cameras)}).",
        hint=f"{' '.join(sorted(hints))} Then run the command again.",
    )


def _require_online(inboxes: Sequence[Reconciliation]) -> None:
    """Raise InboxError if the service holds an inbox to be offline."""
    cameras = [inbox.camera_id for inbox in inboxes if inbox.outage is not None]
    if not cameras:
        return
    raise InboxError(
        f"What is counted is not what was recorded: an inbox is offline ({', '.join(cameras)}).",
        hint="Mount the share, or put the files back; the service then goes on at its next sweep."
        " Then run the command again.",
    )


def _grace_seconds(intake: IntakeSettings, sweep_took: float) -> float:
    """Return the duration of two sweeps, including the pauses before them."""
    pause = max(intake.sweep_seconds, SWEEP_SHARE * sweep_took)
    return 2 * (intake.quiet_seconds + pause + sweep_took)


def _as_dict(inbox: Reconciliation) -> dict[str, Any]:
    return {
        "camera": inbox.camera_id,
        "outage": inbox.outage,
        "files": inbox.files,
        "counts": dict(inbox.counts),
        "unaccounted": [path_text(path) for path in inbox.unaccounted],
        "unreadable": {path_text(path): why for path, why in inbox.unreadable.items()},
    }


def _print(inboxes: Sequence[Reconciliation], *, wide: bool) -> None:
    from fundusd.cli.status import OFFLINE_SENTENCES
    from fundusd.reports.terminal_table import printable

    rows = []
    total = unaccounted = 0
    for inbox in inboxes:
        total += inbox.files
        unaccounted += len(inbox.unaccounted)
        for state, count in sorted(inbox.counts.items()):
            rows.append({"camera": inbox.camera_id, "state": state, "count": str(count)})
    print_table(rows, wide=wide)
    print(f"{total} files, {total - unaccounted} accounted for, {unaccounted} unaccounted for.")
    for inbox in inboxes:
        if inbox.outage is not None:
            print(f"  {inbox.camera_id}: OFFLINE: {OFFLINE_SENTENCES[inbox.outage]}")
        _print_first(inbox.camera_id, [printable(path_text(path)) for path in inbox.unaccounted])
        unreadable = []
        for path, why in inbox.unreadable.items():
            folder = f"the folder {printable(path_text(path))}" if path else "the inbox"
            unreadable.append(f"{folder} CANNOT BE LISTED ({why})")
        _print_first(inbox.camera_id, unreadable)


def _print_first(camera_id: str, texts: Sequence[str]) -> None:
    """Print a line for each of the first texts, and how many more there are."""
    for text in texts[:TABLE_ROWS]:
        print(f"  {camera_id}: {text}")
    if len(texts) > TABLE_ROWS:
        print(f"  {camera_id}: {len(texts) - TABLE_ROWS} more; --json names all")

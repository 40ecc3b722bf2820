"""fundusd results, status, reconcile: look, change nothing."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fundusd.cli.options import Config, Json, age, as_json, load, local, print_csv
from fundusd.domain import SAFETY_WORDS, SWEEP_SHARE, Inbox, Outcome, Referable

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from fundusd.reconciling import Reconciliation
    from fundusd.settings import Intake

_SPAN = re.compile(r"(\d+)([smhdw])")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_SHOWN = 50  # rows of the table, unless --limit asks for more


def add_to(app: typer.Typer) -> None:
    """Register the commands."""
    app.command()(results)
    app.command()(status)
    app.command()(reconcile)


def since_time(text: str) -> datetime:
    """Read --since: a span before now (90m, 12h, 7d) or a date or time of the clinic's clock.

    >>> since_time("2026-11-23").isoformat()[:4]
    '2026'
    """
    if span := _SPAN.fullmatch(text):
        return datetime.now(UTC) - timedelta(**{_UNITS[span[2]]: int(span[1])})
    try:
        return datetime.fromisoformat(text).astimezone()
    except ValueError:
        raise typer.BadParameter(f"{text!r} is no time: use 90m, 12h, 7d, 2026-11-23 or 2026-11-23T08:00") from None


def results(
    config: Config = None,
    since: Annotated[str, typer.Option(help="Received since: 90m, 12h, 7d, or a date or time.")] = "",
    camera: Annotated[str, typer.Option(metavar="ID", help="Of one camera.")] = "",
    grade: Annotated[int | None, typer.Option(min=0, max=4, help="ICDR grade.", show_default=False)] = None,
    referable: Annotated[Referable | None, typer.Option(help="By the release's rule.", show_default=False)] = None,
    outcome: Annotated[Outcome | None, typer.Option(help="What became of it.", show_default=False)] = None,
    superseded: Annotated[bool, typer.Option("--superseded", help="Older revisions of overwritten files too.")] = False,
    limit: Annotated[int | None, typer.Option(min=1, help="At most so many, newest first.", show_default=False)] = None,
    json: Json = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV for spreadsheets.")] = False,
) -> None:
    """Show results, newest first: one row per capture, the columns of the view v_result.

    Examples: fundusd results --since 12h --referable yes; fundusd results --camera cr2-room1 --csv > results.csv
    """
    from fundusd.ledger import Wanted
    from fundusd.store import opened_ledger

    if json and as_csv:
        raise typer.BadParameter("--json and --csv exclude each other")
    wanted = Wanted(
        since=since_time(since) if since else None,
        camera=camera or None,
        grade=grade,
        referable=referable,
        outcome=outcome,
        superseded=superseded,
        limit=limit or (None if json or as_csv else _SHOWN),
    )
    with opened_ledger(load(config)) as ledger:
        ledger.check()
        rows = ledger.results(wanted)
        if json:
            print(as_json(list(rows)))
        elif as_csv:
            print_csv(rows)
        else:
            _print_table(list(rows), limited=limit is None)


def _print_table(rows: list[Mapping[str, Any]], *, limited: bool) -> None:
    from rich.console import Console

    from fundusd.printing import table_of

    cells = [
        {
            "capture": str(row["capture_id"]),
            "received": local(row["received_at"]),
            "camera": row["camera_id"],
            "path": row["path"] + (f" (revision {row['revision']})" if row["revision"] > 1 else ""),
            "eye": row["eye"],
            "outcome": row["outcome"] or row["state"],
            "grade or reason": row["grade_label"] or row["reason"] or "",
            "score": _best_score(row),
            "referable": row["referable"] or "",
        }
        for row in rows
    ]
    console = Console()
    console.print(table_of(cells))
    models = sorted({row["model"] for row in rows if row["grade"] is not None})
    for model in models:
        console.print(f"Model: {model}", highlight=False)
    if limited and len(rows) == _SHOWN:
        console.print(f"The newest {_SHOWN}; more with --limit, all with --json or --csv.", highlight=False)
    console.print(SAFETY_WORDS, highlight=False)


def _best_score(row: Mapping[str, Any]) -> str:
    if row["grade"] is None:
        return ""
    key = ("no_dr", "mild", "moderate", "severe", "pdr")[row["grade"]]
    return f"{row[f'score_{key}']:.2%}"


def status(config: Config = None, json: Json = False) -> None:
    """Show counts by state, the oldest waiting capture, each camera's last sweep and hints, model and database.

    Example: fundusd status --json
    """
    from fundusd.store import opened_ledger

    settings = load(config)
    mine = [camera.id for camera in settings.camera]
    with opened_ledger(settings) as ledger:
        ledger.check()
        told = ledger.status() | {"running": ledger.is_held(mine), "database": ledger.database.shown}
    if json:
        print(as_json(told))
        return
    waiting = told["oldest_waiting_seconds"]
    model = told["model"]
    lines = [
        ("daemon", "running" if told["running"] else "NOT RUNNING (start it: systemctl start fundusd)"),
        ("database", told["database"]),
        ("model", f"{model['model']}, release {model['id']}, {model['dtype']}" if model else "none used yet"),
        ("canary", _canary_line(told["canary"])),
        ("captures", str(told["captures"])),
        ("jobs", ", ".join(f"{count} {state}" for state, count in told["jobs"].items())),
        ("results", ", ".join(f"{count} {outcome}" for outcome, count in told["results"].items())),
        ("oldest waiting", "none" if waiting is None else f"{waiting:.0f} s"),
    ]
    lines += [(f"to {receiver}", text) for receiver, text in _outbox_lines(told["outbox"])]
    lines += [(f"camera {camera['id']}", _camera_line(camera)) for camera in told["cameras"]]
    width = max(len(name) for name, _ in lines)
    for name, text in lines:
        print(f"{name:<{width}}  {text}")
    print(SAFETY_WORDS)


def _outbox_lines(counts: Iterable[Mapping[str, Any]]) -> list[tuple[str, str]]:
    said: dict[str, list[str]] = {}
    for row in counts:
        tried = f", tried {row['attempts']} times" if row["attempts"] and row["state"] == "queued" else ""
        failed = " (see: fundusd outbox)" if row["state"] == "failed" else ""
        text = f"{row['count']} {row['state'].upper() if failed else row['state']}{tried}{failed}"
        said.setdefault(row["receiver"], []).append(text)
    return [(receiver, ", ".join(texts)) for receiver, texts in said.items()]


_AWAY = {
    "missing": "its inbox is not there: mount or create it",
    "unreadable": "its inbox cannot be listed: look with fundusd check",
    "empty": "its inbox is another, empty directory than before: is the share mounted?",
    "mass_disappearance": "most of its files are gone; taken for an outage, for a day at the most",
}


def _canary_line(canary: Mapping[str, Any] | None) -> str:
    if canary is None:
        return "known phantoms were not shown to the model lately"
    when = local(datetime.fromisoformat(canary["at"]))
    if not canary["passed"]:
        return f"the model was REFUSED at {when}: nothing is graded (try: fundusd model verify)"
    return f"known phantoms were answered as they should be at {when}, cosine {canary['cosine']:.7f}"


def _camera_line(camera: Mapping[str, Any]) -> str:
    line = _swept_line(camera)
    if camera["offline_reason"] is not None:
        line = f"OFFLINE since {local(camera['offline_since'])}: {_AWAY[camera['offline_reason']]}; {line}"
    if waits := camera["incomplete"]:
        line += f"; {waits['files']} INCOMPLETE since {local(waits['since'])}, {waits['quarantined']} given up for now"
    return line


def _swept_line(camera: Mapping[str, Any]) -> str:
    if camera["last_sweep_at"] is None:
        return "not swept yet"
    hints = {True: "healthy", False: "LOST (sweeps find everything, later)"}[camera["hints_healthy"]]
    if camera["mode"] == "sweep-only":
        hints = "none (sweep-only)"
    return (
        f"last sweep {age(camera['last_sweep_at'])}, {camera['files']} files in {camera['directories']} folders, "
        f"{camera['waiting']} not settled, hints {hints}{_watched(camera)}, settling by {camera['lease_probe']}"
    )


def _watched(camera: Mapping[str, Any]) -> str:
    watched = f" ({camera['watches']} folders watched)" if camera.get("watches") else ""
    found = (camera.get("hinted", 0), camera.get("swept", 0))
    return watched + (", new since the start by hints {}, by sweeps {}".format(*found) if any(found) else "")


def reconcile(config: Config = None, json: Json = False) -> None:
    """Account for every file in every inbox: waiting, succeeded by outcome, failed, or ignored by reason.

    Exit status 1 if any file is unaccounted for. A file that changed within the last two sweeps counts as waiting.

    Example: fundusd reconcile
    """
    from fundusd.reconciling import reconcile as compare
    from fundusd.settings import require_camera
    from fundusd.store import opened_ledger

    settings = load(config)
    require_camera(settings)
    with opened_ledger(settings) as ledger:
        ledger.check()
        took = {camera["id"]: camera.get("seconds", 0.0) for camera in ledger.status()["cameras"]}
        found = [
            compare(ledger, Inbox(camera.id, camera.inbox), _grace(settings.intake, took.get(camera.id, 0.0)))
            for camera in settings.camera
        ]
    if json:
        print(as_json([_as_told(one) for one in found]))
    else:
        _print_reconciled(found)
    raise typer.Exit(1 if any(one.unaccounted for one in found) else 0)


def _grace(intake: Intake, sweep_took: float) -> float:
    """Return the seconds in which a sweep comes by for certain, twice: a long one rests for long."""
    return 2 * (intake.quiet_seconds + max(intake.sweep_seconds, SWEEP_SHARE * sweep_took) + sweep_took)


def _as_told(one: Reconciliation) -> dict[str, Any]:
    unaccounted = [path.decode("utf-8", "backslashreplace") for path in one.unaccounted]
    return {"camera": one.camera_id, "files": one.files, "counts": dict(one.counts), "unaccounted": unaccounted}


def _print_reconciled(found: list[Reconciliation]) -> None:
    from rich.console import Console

    from fundusd.printing import table_of

    rows = [
        {"camera": one.camera_id, "files are": standing, "count": str(count)}
        for one in found
        for standing, count in sorted(one.counts.items())
    ]
    total = sum(one.files for one in found)
    lost = sum(len(one.unaccounted) for one in found)
    console = Console()
    console.print(table_of(rows))
    console.print(f"{total} files, {total - lost} accounted for, {lost} unaccounted for.", highlight=False)
    for one in found:
        for path in one.unaccounted[:_SHOWN]:
            console.print(
                f"  {one.camera_id}: {path.decode('utf-8', 'backslashreplace')}", highlight=False, markup=False
            )

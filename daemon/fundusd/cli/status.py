"""fundusd status: what the service is doing."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

from fundusd.cli.options import Config, Json, age, as_json, load, local
from fundusd.domain.clinical_terms import SAFETY_WORDS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import typer


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command()(status)


def status(config: Config = None, json: Json = False) -> None:
    """Show counts by state, the oldest waiting capture, each camera's last sweep and hints, model and database.

    Example: fundusd status --json
    """
    from fundusd.app.open_ledger import opened_ledger

    settings = load(config)
    mine = [camera.id for camera in settings.camera]
    with opened_ledger(settings) as ledger:
        ledger.check()
        told = ledger.status() | {
            "running": ledger.is_held(mine),
            "database": ledger.database.shown,
        }
    if json:
        print(as_json(told))
        return
    waiting = told["oldest_waiting_seconds"]
    model = told["model"]
    lines = [
        (
            "daemon",
            "running" if told["running"] else "NOT RUNNING (start it: systemctl start fundusd)",
        ),
        ("database", told["database"]),
        (
            "model",
            f"{model['model']}, release {model['id']}, {model['dtype']}"
            if model
            else "none used yet",
        ),
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
        tried = (
            f", tried {row['attempts']} times"
            if row["attempts"] and row["state"] == "queued"
            else ""
        )
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
    return (
        f"known phantoms were answered as they should be at {when}, cosine {canary['cosine']:.7f}"
    )


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
    hints = {True: "healthy", False: "LOST (sweeps find everything, later)"}[
        camera["hints_healthy"]
    ]
    if camera["mode"] == "sweep-only":
        hints = "none (sweep-only)"
    return (
        f"last sweep {age(camera['last_sweep_at'])}, {camera['files']} files in {camera['directories']} folders, "
        f"{camera['waiting']} not settled, hints {hints}{_watched(camera)}, settling by {camera['lease_probe']}"
    )


def _watched(camera: Mapping[str, Any]) -> str:
    watched = f" ({camera['watches']} folders watched)" if camera.get("watches") else ""
    found = (camera.get("hinted", 0), camera.get("swept", 0))
    return watched + (
        ", new since the start by hints {}, by sweeps {}".format(*found) if any(found) else ""
    )

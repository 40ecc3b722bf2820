"""fundusd status: show what the service is doing."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from fundusd.cli.layout import Command
from fundusd.cli.options import Config, Json, load
from fundusd.cli.output import age, as_json, local
from fundusd.clinical.camera_orientation import Learnt, describe
from fundusd.clinical.grading import unsafe_rules
from fundusd.domain.clinical_terms import SAFETY_WORDS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import typer

    from fundusd.cli.output import Row

_CLOCK_TOLERANCE = timedelta(minutes=1)  # between the database's machine and this one


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command(cls=Command)(status)


def status(config: Config = None, json: Json = False) -> None:
    """Show what the service is doing, and what is waiting.

    Prints whether the daemon is running, the database, the model and its last self-test, captures,
    jobs and results by state, the age of the oldest waiting capture, lost log lines, documents by
    receiver, and the last sweep of each camera and how its pictures are turned.

    Example:
      fundusd status --json
    """
    from fundusd.app.open_ledger import opened_ledger

    settings = load(config)
    cameras = [camera.id for camera in settings.camera]
    with opened_ledger(settings) as ledger:
        ledger.check()
        facts = ledger.status()
        facts["running"] = ledger.is_held(cameras)
        facts["database"] = ledger.database.shown
    model = facts["model"]
    facts["unsafe_rule"] = unsafe_rules([model["referable_rule"]] if model else [])
    if json:
        print(as_json(facts))
        return
    lines = _lines(facts)
    width = max(len(name) for name, _ in lines)
    for name, text in lines:
        print(f"{name:<{width}}  {text}")
    if facts["unsafe_rule"]:
        print(facts["unsafe_rule"])
    print(SAFETY_WORDS)


def _lines(facts: Mapping[str, Any]) -> list[tuple[str, str]]:
    daemon, model, waiting = "running", "none used yet", "none"
    if not facts["running"]:
        daemon = "NOT RUNNING (start it: systemctl start fundusd)"
    if release := facts["model"]:
        model = f"{release['model']}, release {release['id']}, {release['dtype']}"
    if facts["oldest_waiting_seconds"] is not None:
        waiting = f"{facts['oldest_waiting_seconds']:.0f} s"
        if facts["oldest_waiting_since"] > datetime.now(UTC) + _CLOCK_TOLERANCE:
            waiting = f"since {local(facts['oldest_waiting_since'])} by a clock that was wrong"
    lines = [
        ("daemon", daemon),
        ("database", facts["database"]),
        ("model", model),
        ("canary", _canary_line(facts["canary"])),
        ("captures", str(facts["captures"])),
        ("jobs", _counts(facts["jobs"])),
        ("results", _counts(facts["results"])),
        ("oldest waiting", waiting),
    ]
    if lost := facts["log_lost"]:
        lines.append(("log", _log_line(lost)))
    for receiver, deliveries in _deliveries(facts["outbox"], facts["receivers_away"]).items():
        lines.append((f"to {receiver}", ", ".join(deliveries)))
    lines += [(f"camera {camera['id']}", _camera_line(camera)) for camera in facts["cameras"]]
    return lines


def _counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {name}" for name, count in counts.items())


def _deliveries(rows: Iterable[Row], away: Mapping[str, Row]) -> dict[str, list[str]]:
    """Return phrases that give the number of documents in each state, keyed by receiver.

    If a receiver is away and documents wait for it, the phrase says since when and why.
    """
    receivers: dict[str, list[str]] = {}
    for row in rows:
        text = f"{row['count']} {row['state']}"
        if row["state"] == "failed":
            text = f"{row['count']} FAILED (see: fundusd outbox)"
        elif row["state"] == "queued" and row["attempts"]:
            text += f", tried {row['attempts']} times"
        if row["state"] == "queued" and (outage := away.get(row["receiver"])):
            text += f"; AWAY since {local(outage['since'])}: {outage['reason']}"
        receivers.setdefault(row["receiver"], []).append(text)
    return receivers


_OFFLINE = {
    "missing": "its inbox does not exist: mount or create it",
    "unreadable": "its inbox cannot be listed: see fundusd check",
    "empty": "an empty directory has taken the place of its inbox: is the share mounted?",
    "mass_disappearance": "most of its files are gone; treated as an outage for up to a day",
}


def _canary_line(canary: Mapping[str, Any] | None) -> str:
    if canary is None:
        return "the model has not been tested on known phantoms lately"
    when = local(datetime.fromisoformat(canary["at"]))
    if not canary["passed"]:
        return f"the model was REFUSED at {when}: nothing is graded (try: fundusd model verify)"
    return f"the model embedded known phantoms correctly at {when}, cosine {canary['cosine']:.7f}"


def _log_line(lost: Mapping[str, Any]) -> str:
    since = local(datetime.fromisoformat(lost["since"]))
    return (
        f"{lost['count']} lines LOST since {since}: "
        "the disk of the log is full, or nobody reads the log"
    )


def _camera_line(camera: Row) -> str:
    line = _sweep_line(camera)
    if camera["offline_reason"] is not None:
        since = local(camera["offline_since"])
        line = f"OFFLINE since {since}: {_OFFLINE[camera['offline_reason']]}; {line}"
    if incomplete := camera["incomplete"]:
        line += (
            f"; {incomplete['files']} INCOMPLETE since {local(incomplete['since'])}, "
            f"{incomplete['quarantined']} quarantined"
        )
    return f"{line}; pictures {describe(Learnt(**camera['orientation']))}"


def _sweep_line(camera: Row) -> str:
    if camera["last_sweep_at"] is None:
        return "not swept yet"
    return (
        f"last sweep {age(camera['last_sweep_at'])}, {camera['files']} files "
        f"in {camera['directories']} folders, {camera['waiting']} not settled, "
        f"hints {_hints(camera)}, settling by {camera['lease_probe']}"
    )


def _hints(camera: Row) -> str:
    """Return a phrase that says whether file system events arrive from a camera's inbox.

    It also says how many new files were found by events and how many by sweeps.
    """
    if camera["mode"] == "sweep-only":
        text = "none (sweep-only)"
    elif camera["hints_healthy"]:
        text = "healthy"
    else:
        text = "LOST (sweeps find every file, but later)"
    if camera.get("watches"):
        text += f" ({camera['watches']} folders watched)"
    by_hints, by_sweeps = camera.get("hinted", 0), camera.get("swept", 0)
    if by_hints or by_sweeps:
        text += f", new files since startup: {by_hints} by hints, {by_sweeps} by sweeps"
    return text

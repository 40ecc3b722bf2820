"""fundusd status: show what the service is doing."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from fundusd.cli.layout import Command
from fundusd.cli.left_out import left_out
from fundusd.cli.options import Config, Json, Wide, load
from fundusd.cli.output import age, as_json, local, print_table
from fundusd.cli.release_warning import print_warning, release_ids, release_warning
from fundusd.clinical.camera_orientation import Learnt, describe
from fundusd.clinical.grading import unsafe_rules
from fundusd.domain.clinical_terms import SAFETY_WORDS
from fundusd.domain.errors import LedgerForbidden

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    import typer

    from fundusd.cli.output import Row
    from fundusd.ledger import Ledger

_LEFT_OUT = (
    "so the model at work, its self-test, jobs, incomplete files, lost log lines, receivers and the"
    " rest about cameras are left out"
)
_CLOCK_TOLERANCE = timedelta(minutes=1)  # between the database's machine and this one
# of the cameras' columns, if the terminal is too narrow
_DROPPED_FIRST = (
    "settling by",
    "new by hints",
    "by sweeps",
    "folders",
    "pictures",
    "hints",
    "not settled",
)


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command(cls=Command)(status)


def status(config: Config = None, json: Json = False, wide: Wide = False) -> None:
    """Show what the service is doing, and what is waiting.

    Prints whether the daemon is running or waits for its database, the database, the model and its
    last self-test, captures, jobs and results by state, the age of the oldest waiting capture, lost
    log lines, documents by receiver, and the last sweep of each camera and how its pictures are
    turned. A role of PostgreSQL that may not read every table is shown what the views contain, and
    told what is left out.

    Example:
      fundusd status --json
    """
    from fundusd.app import outage_notice
    from fundusd.app.open_ledger import opened_ledger

    settings = load(config)
    cameras = [camera.id for camera in settings.camera]
    with opened_ledger(settings) as ledger:
        ledger.check()
        facts = _facts(ledger)
        facts["running"] = ledger.is_held(cameras)
        facts["waiting"] = outage_notice.read(settings)
        facts["database"] = ledger.database.shown
        warning = _warning(ledger, facts)
    if json:
        print(as_json(facts))
        if _is_partial(facts):
            print_warning(warning, beside_data=True)
        return
    lines = _lines(facts)
    width = max(len(name) for name, _ in lines)
    for name, text in lines:
        print(f"{name:<{width}}  {text}")
    if facts["cameras"]:
        print()
        _print_cameras(facts["cameras"], wide=wide)
    print_warning(warning, beside_data=False)
    if _is_partial(facts):
        print(left_out(ledger, _LEFT_OUT))
    print(SAFETY_WORDS)


def _facts(ledger: Ledger) -> dict[str, Any]:
    try:
        facts = ledger.status()
    except LedgerForbidden:  # a role of PostgreSQL
        return ledger.status_of_views()
    model = facts["model"]
    return facts | {"unsafe_rule": unsafe_rules([model["referable_rule"]] if model else [])}


def _warning(ledger: Ledger, facts: Mapping[str, Any]) -> str | None:
    """Return a warning about the rule of the model at work.

    If the model is not known to this role, the warning is about that of the newest capture.
    """
    if _is_partial(facts):
        return release_warning(ledger, release_ids(list(ledger.results(limit=1))))
    warning: str | None = facts["unsafe_rule"]
    return warning


def _is_partial(facts: Mapping[str, Any]) -> bool:
    return "model" not in facts


def _print_cameras(cameras: Sequence[Row], *, wide: bool) -> None:
    print_table([_camera_cells(camera) for camera in cameras], _DROPPED_FIRST, wide=wide)
    for camera in cameras:
        for sentence in _camera_troubles(camera):
            print(sentence)


def _lines(facts: Mapping[str, Any]) -> list[tuple[str, str]]:
    before = [("daemon", _daemon(facts)), ("database", facts["database"])]
    captures = ("captures", str(facts["captures"]))
    after = [("results", _counts(facts["results"])), ("oldest waiting", _waiting(facts))]
    if _is_partial(facts):
        return [*before, captures, *after]
    model = ("model", _model_line(facts["model"]))
    canary = ("canary", _canary_line(facts["canary"]))
    jobs = ("jobs", _jobs(facts["jobs"], facts["failed_replaced"]))
    lines = [*before, model, canary, captures, jobs, *after]
    if lost := facts["log_lost"]:
        lines.append(("log", _log_line(lost)))
    for receiver, deliveries in _deliveries(facts["outbox"], facts["receivers_away"]).items():
        lines.append((f"to {receiver}", ", ".join(deliveries)))
    return lines


def _daemon(facts: Mapping[str, Any]) -> str:
    """Return whether the daemon runs and, if it waits for its database, since when and why."""
    if waiting := facts["waiting"]:
        since = local(datetime.fromisoformat(waiting["since"]))
        state = "running" if facts["running"] else "starting"
        return f"{state}, WAITING since {since}: {waiting['error']} {waiting['hint']}"
    return "running" if facts["running"] else "NOT RUNNING (start it: systemctl start fundusd)"


def _model_line(release: Mapping[str, Any] | None) -> str:
    if release is None:
        return "none used yet"
    return f"{release['model']}, release {release['id']}, {release['dtype']}"


def _waiting(facts: Mapping[str, Any]) -> str:
    """Return how long the oldest open job has waited."""
    if facts["oldest_waiting_seconds"] is None:
        return "none"
    if facts["oldest_waiting_since"] > datetime.now(UTC) + _CLOCK_TOLERANCE:
        return f"since {local(facts['oldest_waiting_since'])} by a clock that was wrong"
    return f"{facts['oldest_waiting_seconds']:.0f} s"


def _jobs(counts: Mapping[str, int], replaced: int) -> str:
    """Return the jobs by state; a failure whose file was replaced needs nobody any more."""
    if not replaced:
        return _counts(counts)
    left = {**counts, "failed": counts["failed"] - replaced}
    return f"{_counts(left)} ({replaced} more of files that were replaced)"


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


OFFLINE_SENTENCES = {
    "missing": "its inbox does not exist, or is no folder: see fundusd check",
    "unreadable": "its inbox cannot be listed: see fundusd check",
    "empty": "an empty directory has taken the place of its inbox: is the share mounted?",
    "mass_disappearance": "many of its files are gone, treated as an outage for up to a day: put "
    "them back or, if they were removed on purpose, exclude them with ignore and reload",
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


def _camera_cells(camera: Row) -> dict[str, str]:
    swept = camera["last_sweep_at"] is not None
    cells = {
        "camera": camera["id"],
        "state": "OFFLINE" if camera["offline_reason"] is not None else "watched",
        "last sweep": age(camera["last_sweep_at"]) if swept else "not swept yet",
    }
    if "orientation" not in camera:  # a row of v_camera
        return cells
    return cells | {
        "files": str(camera["files"]) if swept else "",
        "folders": str(camera["directories"]) if swept else "",
        "not settled": str(camera["waiting"]) if swept else "",
        "hints": _hints(camera) if swept else "",
        "new by hints": str(camera.get("hinted", 0)),
        "by sweeps": str(camera.get("swept", 0)),
        "settling by": str(camera["lease_probe"]) if swept else "",
        "pictures": describe(Learnt(**camera["orientation"])),
    }


def _camera_troubles(camera: Row) -> list[str]:
    """Return sentences about what is wrong at a camera."""
    sentences = []
    if camera["offline_reason"] is not None:
        since = local(camera["offline_since"])
        sentences.append(f"OFFLINE since {since}: {OFFLINE_SENTENCES[camera['offline_reason']]}")
    if incomplete := camera.get("incomplete"):
        since = local(incomplete["since"])
        sentences.append(
            f"{incomplete['files']} INCOMPLETE since {since}, "
            f"{incomplete['quarantined']} quarantined"
        )
    is_watched = "mode" in camera and camera["mode"] != "sweep-only"
    if camera["last_sweep_at"] and is_watched and not camera["hints_healthy"]:
        sentences.append("hints LOST: sweeps find every file, but later")
    return [f"{camera['id']}: {sentence}" for sentence in sentences]


def _hints(camera: Row) -> str:
    """Return whether file system events arrive from a camera's inbox, and from how many folders."""
    if camera["mode"] == "sweep-only":
        return "none (sweep-only)"
    text = "healthy" if camera["hints_healthy"] else "LOST"
    if camera.get("watches"):
        text += f" ({camera['watches']} folders watched)"
    return text

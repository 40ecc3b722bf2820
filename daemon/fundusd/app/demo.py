"""Show the whole service at work: the real daemon, a temporary inbox, captures dropped in as a camera would."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import orjson
from rich.console import Console

from fundusd.app import child_daemon, settings_file
from fundusd.app.open_ledger import opened_ledger
from fundusd.app.reconcile import reconcile
from fundusd.domain.clinical_terms import SAFETY_WORDS, Eye, Grade
from fundusd.domain.errors import FundusdError
from fundusd.domain.files import Inbox
from fundusd.imaging import phantoms
from fundusd.reports.terminal_table import table_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from fundusd.app.child_daemon import Lines

_PACE_SECONDS = 0.4  # between two captures
_READY_SECONDS = 600.0  # a full-size model on a slow disk
_LAND_SECONDS = 120.0  # for the last capture to be done with, once it is dropped
_SETTINGS = """\
[store]
url = "sqlite:///{folder}/fundusd.db"
[model]
source = {model}
revision = "{revision}"
[intake]
quiet_seconds = 0.5
sweep_seconds = 2
retry_seconds = [1, 2]
[privacy]
site_key_file = "{folder}/site.key"
[[camera]]
id = "demo-camera"
inbox = "{folder}/inbox"
pattern = '(?P<patient>[^/]+)/[^/]+'
[log]
format = "json"
"""


@dataclass(frozen=True, slots=True)
class Drop:
    """One file the camera writes, and what it truly is."""

    path: str
    data: bytes
    truth: str


def drops() -> Iterator[Drop]:
    """Render the camera's afternoon: five grades, both eyes, JPEG and DICOM; one cut short, one twice, one a hand."""
    first = b""
    for number, grade in enumerate(Grade):
        patient = f"phantom-{number + 1}"
        right = phantoms.as_jpeg(phantoms.render(grade, Eye.RIGHT, seed=9000 + number))
        left = phantoms.render(grade, Eye.LEFT, seed=9100 + number)
        yield Drop(f"{patient}/{patient}_OD.jpg", right, grade.label)
        yield Drop(
            f"{patient}/{patient}_OS.dcm",
            phantoms.as_dicom(left, Eye.LEFT, patient, seed=9100 + number),
            grade.label,
        )
        first = first or right
    yield Drop("phantom-1/export-again_OD.jpg", first, "the first one again")
    yield Drop("phantom-2/cut-short_OD.jpg", first[: len(first) // 2], "half a file")
    yield Drop(
        "phantom-3/wall_OS.jpg", phantoms.as_jpeg(phantoms.not_a_retina(seed=1)), "not a retina"
    )
    yield Drop("phantom-3/report.html", b"<html>The camera's report</html>", "a report")


def run(model: str, revision: str, keep: Path | None) -> None:
    """Run the demo and print its tables; raises FundusdError when the daemon fails or loses a capture."""
    console = Console(highlight=False)
    with child_daemon.folder(keep) as folder:
        path = _prepare(folder, model, revision)
        console.print(f"Starting fundusd on {folder}/inbox with the model {model!r} …")
        with child_daemon.running(path) as lines:
            _await_ready(lines, console)
            truths = _drop_all(folder / "inbox", console, lines)
            _await_landed(path, len(truths), console, lines)
        _show(lines.rest(), console)
        _summarise(path, truths, console)
        if keep is not None:
            console.print(f"Kept in {folder}. Look further: fundusd results --config {path}")


def _prepare(folder: Path, model: str, revision: str) -> Path:
    (folder / "inbox").mkdir()
    path = folder / "fundusd.toml"
    source = orjson.dumps(model).decode()  # a JSON string is a TOML string
    path.write_text(
        _SETTINGS.format(folder=folder, model=source, revision=revision), encoding="utf-8"
    )
    settings_file.load(path)
    return path


def _await_ready(lines: Lines, console: Console) -> None:
    with console.status("Loading the model …"):
        for line in lines.until("service.ready", _READY_SECONDS):
            if line["event"] == "service.started":
                console.print(f"Model: {line['model']}, on {line['device']} in {line['dtype']}.\n")


def _drop_all(inbox: Path, console: Console, lines: Lines) -> dict[str, str]:
    """Write the captures as a camera does: a folder, then the file in pieces, at a human pace."""
    truths: dict[str, str] = {}
    for drop in drops():
        target = inbox / drop.path
        target.parent.mkdir(exist_ok=True)
        with target.open("wb") as file:
            half = len(drop.data) // 2
            file.write(drop.data[:half])
            file.flush()
            file.write(drop.data[half:])
        console.print(f"camera  wrote {drop.path} ({drop.truth})")
        truths[drop.path] = drop.truth
        _show(lines.take(_PACE_SECONDS), console)
    return truths


def _show(lines: list[dict[str, Any]], console: Console) -> None:
    for line in lines:
        name = line["event"]
        if name.startswith("capture."):
            grade = (
                Grade(line["grade"]).label
                if line.get("grade") is not None
                else line.get("reason", "")
            )
            console.print(
                f"fundusd {name:<18} {line['digest']}  eye {line.get('eye', '-')}  {grade}"
            )


def _await_landed(path: Path, files: int, console: Console, lines: Lines) -> None:
    deadline = time.monotonic() + _LAND_SECONDS
    settings = settings_file.load(path)
    camera = settings.camera[0]
    with opened_ledger(settings) as ledger:
        while time.monotonic() < deadline:
            _show(lines.take(0.5), console)
            found = reconcile(ledger, Inbox(camera.id, camera.inbox), _LAND_SECONDS)
            waiting = sum(
                count for standing, count in found.counts.items() if standing.startswith("waiting")
            )
            if found.files == files and not waiting:
                return
    raise FundusdError(
        "Some captures did not land in time.", hint="See: fundusd demo --keep DIR, fundusd status"
    )


def _summarise(path: Path, truths: Mapping[str, str], console: Console) -> None:
    settings = settings_file.load(path)
    camera = settings.camera[0]
    with opened_ledger(settings) as ledger:
        rows = sorted(ledger.results(), key=lambda row: row["capture_id"])
        found = reconcile(ledger, Inbox(camera.id, camera.inbox), _LAND_SECONDS)
        verdict = ledger.verify()
    console.print("\nResults (view v_result)")
    console.print(table_of([_cells(row, truths) for row in rows]))
    graded = [row for row in rows if row["grade"] is not None and truths[row["path"]] in _LABELS]
    right = sum(row["grade_label"] == truths[row["path"]] for row in graded)
    console.print(
        f"{right} of {len(graded)} phantoms graded as rendered. Model: {rows[0]['model']}. {SAFETY_WORDS}\n"
    )
    console.print("Every file in the inbox (fundusd reconcile)")
    console.print(
        table_of([{"files are": name, "count": str(n)} for name, n in sorted(found.counts.items())])
    )
    console.print(f"{found.files} files, {len(found.unaccounted)} unaccounted for.")
    holds = "holds" if verdict.broken_seq is None else f"is broken at seq {verdict.broken_seq}"
    console.print(f"The audit chain {holds}: {verdict.events} events, {verdict.results} results.")
    if found.unaccounted or verdict.broken_seq is not None:
        raise FundusdError(
            "The demo lost something.", hint="This is a defect of fundusd: report it."
        )


_LABELS = frozenset(grade.label for grade in Grade)


def _cells(row: Mapping[str, Any], truths: Mapping[str, str]) -> dict[str, str]:
    key = row["grade_label"]
    scores = (
        row["score_no_dr"],
        row["score_mild"],
        row["score_moderate"],
        row["score_severe"],
        row["score_pdr"],
    )
    return {
        "capture": row["path"],
        "eye": row["eye"],
        "outcome": row["outcome"] or row["state"],
        "truly": truths[row["path"]],
        "graded": key or row["reason"] or "",
        "score": f"{scores[row['grade']]:.1%}" if key else "",
        "referable": row["referable"] or "",
        "next": row["action"] or "",
    }

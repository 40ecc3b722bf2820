"""Run a real daemon on an inbox, and write captures into the inbox as a camera would."""

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
from fundusd.imaging import phantoms
from fundusd.reports.terminal_table import table_lines

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from fundusd.app.child_daemon import DaemonLog
    from fundusd.app.reconcile import Reconciliation

_PACE_SECONDS = 0.4  # between two captures
_READY_SECONDS = 600.0  # enough for a full-size model on a slow disk
_LAND_SECONDS = 120.0  # from writing the last capture until all are finished
_PHANTOM = "fundusd/phantom-1 "
# from the model's README.md
_CARD = "The model's card counts more of them: 280 of 300 (93 %) were graded as rendered."
_DROPPED_FIRST = ("score", "outcome", "next")  # if the terminal is too narrow
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
    """A file that the camera writes, with a description of its content."""

    path: str
    data: bytes
    truth: str


def drops() -> Iterator[Drop]:
    """Yield the files that a camera would export.

    First come rendered photographs of both eyes with each of the five grades: the right eyes as
    JPEG, the left eyes as DICOM. Then come a duplicate, a truncated file, a photograph that shows
    no retina, and a report.
    """
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
    """Run the demo and print its tables.

    Raises FundusdError if something fails.
    """
    console = Console(highlight=False)
    with child_daemon.folder(keep) as folder:
        path = _prepare(folder, model, revision)
        console.print(f"Starting fundusd on {folder}/inbox with the model {model!r} …")
        with child_daemon.running(path) as log:
            _await_ready(log, console)
            truths = _drop_all(folder / "inbox", console, log)
            _await_landed(path, len(truths), console, log)
        _show(log.rest(), console)
        _summarise(path, truths, console)
        if keep is not None:
            console.print(
                f"All files are kept in {folder}. To see the results: "
                f"fundusd results --config {path}"
            )


def _prepare(folder: Path, model: str, revision: str) -> Path:
    (folder / "inbox").mkdir()
    path = folder / "fundusd.toml"
    source = orjson.dumps(model).decode()  # a JSON string is a TOML string
    path.write_text(
        _SETTINGS.format(folder=folder, model=source, revision=revision), encoding="utf-8"
    )
    settings_file.load(path)
    return path


def _await_ready(log: DaemonLog, console: Console) -> None:
    with console.status("Loading the model …"):
        for line in log.until("service.ready", _READY_SECONDS):
            if line["event"] == "service.started":
                console.print(f"Model: {line['model']}, on {line['device']} in {line['dtype']}.\n")


def _drop_all(inbox: Path, console: Console, log: DaemonLog) -> dict[str, str]:
    """Write the camera's files at intervals, each file in two parts.

    Return the descriptions of the files, keyed by path.
    """
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
        _show(log.take(_PACE_SECONDS), console)
    return truths


def _show(lines: list[dict[str, Any]], console: Console) -> None:
    for line in lines:
        name = line["event"]
        if name.startswith("capture."):
            eye, result = line.get("eye", "-"), line.get("reason", "")
            if line.get("grade") is not None:
                result = Grade(line["grade"]).label
            console.print(f"fundusd {name:<18} {line['digest']}  eye {eye}  {result}")


def _await_landed(path: Path, files: int, console: Console, log: DaemonLog) -> None:
    deadline = time.monotonic() + _LAND_SECONDS
    settings = settings_file.load(path)
    camera = settings.camera[0]
    with opened_ledger(settings) as ledger:
        while time.monotonic() < deadline:
            _show(log.take(0.5), console)
            reconciliation = reconcile(ledger, camera.watched, _LAND_SECONDS)
            is_waiting = any(state.startswith("waiting") for state in reconciliation.counts)
            if reconciliation.files == files and not is_waiting:
                return
    raise FundusdError(
        "Some captures were not finished in time.",
        hint="Run the demo again with --keep DIR, then run: "
        "fundusd status --config DIR/fundusd.toml",
    )


def _summarise(path: Path, truths: Mapping[str, str], console: Console) -> None:
    settings = settings_file.load(path)
    camera = settings.camera[0]
    with opened_ledger(settings) as ledger:
        rows = sorted(ledger.results(), key=lambda row: row["capture_id"])
        reconciliation = reconcile(ledger, camera.watched, _LAND_SECONDS)
        verdict = ledger.verify()
    console.print("\nResults (view v_result)")
    _print_table([_cells(row, truths) for row in rows], console)
    console.print(_agreement(rows, truths))
    if rows[0]["model"].startswith(_PHANTOM):
        console.print(_CARD)
    console.print(f"Model: {rows[0]['model']}.")
    console.print(f"{SAFETY_WORDS}\n")
    _print_reconciliation(reconciliation, console)
    holds = "holds"
    if verdict.broken_seq is not None:
        holds = f"is broken at seq {verdict.broken_seq}"
    console.print(f"The audit chain {holds}: {verdict.events} events, {verdict.results} results.")
    if reconciliation.unaccounted or verdict.broken_seq is not None:
        raise FundusdError(
            "The demo lost a capture or an audit event.",
            hint="This is a defect of fundusd. Please report it.",
        )


def _print_reconciliation(reconciliation: Reconciliation, console: Console) -> None:
    rows = []
    for state, count in sorted(reconciliation.counts.items()):
        rows.append({"state": state, "count": str(count)})
    console.print("Every file in the inbox (fundusd reconcile)")
    _print_table(rows, console)
    console.print(
        f"{reconciliation.files} files, {len(reconciliation.unaccounted)} unaccounted for."
    )


def _print_table(rows: Sequence[Mapping[str, str]], console: Console) -> None:
    width = console.width if console.is_terminal else None
    for line in table_lines(rows, width, _DROPPED_FIRST):
        console.print(line, markup=False, soft_wrap=True)


_LABELS = frozenset(grade.label for grade in Grade)
_SCORES = ("score_no_dr", "score_mild", "score_moderate", "score_severe", "score_pdr")


def _agreement(rows: Sequence[Mapping[str, Any]], truths: Mapping[str, str]) -> str:
    """Return a sentence that says how many of the model's grades match the rendered ones."""
    graded = right = 0
    for row in rows:
        truth = truths[row["path"]]
        if row["grade"] is not None and truth in _LABELS:
            graded += 1
            right += row["grade_label"] == truth
    return f"{right} of {graded} phantoms graded as rendered."


def _cells(row: Mapping[str, Any], truths: Mapping[str, str]) -> dict[str, str]:
    label, score = row["grade_label"], ""
    if label:
        score = f"{row[_SCORES[row['grade']]]:.1%}"
    return {
        "capture": row["path"],
        "eye": row["eye"],
        "outcome": row["outcome"] or row["state"],
        "truth": truths[row["path"]],
        "graded": label or row["reason"] or "",
        "score": score,
        "referable": row["referable"] or "",
        "next": row["action"] or "",
    }

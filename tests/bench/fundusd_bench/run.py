"""Run the benchmark: checkpoint, sections, report."""

from __future__ import annotations

from contextlib import contextmanager
from time import monotonic
from typing import TYPE_CHECKING

from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from fundusd.app import child_daemon
from fundusd_bench import machine, model, places
from fundusd_bench.report import Report
from fundusd_bench.sections import SECTIONS
from fundusd_bench.work import Options, Work

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from rich.console import Console

    from fundusd.model.checkpoint import Checkpoint
    from fundusd_bench.figures import Figure
    from fundusd_bench.sections import Section

_MIN_ROOM_GB = 1.0  # for captures and databases
_MINUTE = 60


def run(options: Options, checkpoint: Path | None, keep: Path | None, console: Console) -> Report:
    """Measure the chosen sections, with a progress bar on the console; raises FundusdError."""
    load_before, before = machine.load(), machine.sample()
    here = machine.look()
    places.require_room(places.cache(), _MIN_ROOM_GB)
    sections = [SECTIONS[name] for name in options.sections]
    verified = None
    if any(section.needs_checkpoint for section in sections):
        verified = _checkpoint(checkpoint, console)
    with child_daemon.folder(keep, places.cache()) as folder:
        work = Work(options, folder, verified.folder if verified else folder, here)
        figures = _measure(sections, work, console)
    after = machine.sample()
    share = machine.others_share(before, after)
    return Report(
        model=verified.label if verified else "none",
        machine=here,
        figures=figures,
        load_before=load_before,
        others_share=share,
        seconds=after.at - before.at,
        warnings=machine.warnings(load_before, share),
        left_out=model.left_out(here) if "model" in options.sections else [],
    )


def _checkpoint(folder: Path | None, console: Console) -> Checkpoint:
    """Return the checkpoint to measure with, verified; the random one is made if missing."""
    if folder is None:
        folder = places.random_checkpoint()
        if not places.is_made(folder):
            console.print(
                f"Writing a checkpoint of MedSigLIP's size with random weights, "
                f"{places.CHECKPOINT_GB} GB, once, to {folder}. "
                "It is not MedSigLIP, and not for patients."
            )
            with _bytes("writing the checkpoint", console) as on_progress:
                places.make_checkpoint(on_progress)
    with _bytes("verifying the checkpoint", console) as on_progress:
        return places.verified(folder, on_progress)


@contextmanager
def _bytes(what: str, console: Console) -> Iterator[Callable[[int, int], None]]:
    columns = (TextColumn(what), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task(what)
        yield lambda done, total: progress.update(task, completed=done, total=total)


def _measure(sections: Sequence[Section], work: Work, console: Console) -> list[Figure]:
    """Run the sections; the remaining time is estimated by the clock, since steps differ widely."""
    expected = sum(section.seconds(work.options) for section in sections)
    columns = (
        BarColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.fields[left]}"),
        TextColumn("{task.description}"),
    )
    figures: list[Figure] = []
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("", total=expected, left="")
        began, done = monotonic(), 0.0
        for section in sections:
            section_began, limit = monotonic(), section.seconds(work.options)

            def on_step(
                what: str, begin: float = section_began, before: float = done, limit: float = limit
            ) -> None:
                reached = before + min(limit, monotonic() - begin)
                left = remaining(expected, reached, monotonic() - began)
                progress.update(
                    task, description=what, completed=reached, left=f"about {left} min left"
                )

            on_step(f"{section.name}: {section.about}")
            figures += section.measure(work, on_step)
            done += limit
    return figures


def remaining(expected: float, reached: float, elapsed: float) -> int:
    """Return the minutes left, rounded up, assuming that the machine stays as slow as it was.

    >>> remaining(600, 300, 600), remaining(600, 0, 0)
    (10, 10)
    """
    slower = 1.0
    if reached > _MINUTE:
        slower = max(1.0, elapsed / reached)
    return -int(-(expected - reached) * slower // _MINUTE)

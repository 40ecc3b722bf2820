"""Print the figures, as tables or as JSON."""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from rich.console import Console

from fundusd.domain.clinical_terms import SAFETY_WORDS
from fundusd.reports.terminal_table import table_lines

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from fundusd_bench.figures import Figure
    from fundusd_bench.machine import Machine

_WIDTH = 150  # columns of a table in a file
_THOUSAND = 1000
_NEGLIGIBLE = 1e-9


@dataclass(frozen=True, slots=True)
class Report:
    """Figures, and the circumstances of their measurement."""

    model: str  # with its notice
    machine: Machine
    figures: Sequence[Figure]
    load_before: float
    others_share: float  # of the CPUs, during the run
    seconds: float
    warnings: Sequence[str]
    left_out: Sequence[str]

    @property
    def goals(self) -> list[Figure]:
        """Return the figures that have a goal."""
        return [figure for figure in self.figures if figure.goal is not None]


def console(*, stderr: bool = False) -> Console:
    """Return a console without markup, 150 columns wide unless the terminal sets a width."""
    opened = Console(stderr=stderr, highlight=False, markup=False)
    if not opened.is_terminal and "COLUMNS" not in os.environ:
        opened.width = _WIDTH
    return opened


def as_dict(report: Report) -> dict[str, Any]:
    """Return the report as it is printed in JSON."""
    figures = [asdict(figure) | {"verdict": figure.verdict} for figure in report.figures]
    return {"notice": SAFETY_WORDS, **asdict(report), "figures": figures}


def show(report: Report, out: Console) -> None:
    """Print machine, figures, goals and warnings."""
    out.print(f"Model: {report.model}. {SAFETY_WORDS}\n")
    for line in _machine(report.machine):
        out.print(line)
    out.print(
        f"Load average before: {report.load_before:.2f}. Took {report.seconds / 60:.1f} minutes.\n"
    )
    out.print("Figures: medians over the rounds, from the lowest round to the highest")
    _print_table([_row(figure) for figure in report.figures], out)
    if report.goals:
        met = sum(figure.verdict == "met" for figure in report.goals)
        out.print(f"Goals: {met} of {len(report.goals)} met")
        _print_table([_goal(figure) for figure in report.goals], out)
    for note in _notes(report.figures):
        out.print(note)
    for line in report.left_out:
        out.print(line)
    for warning in report.warnings:
        out.print(f"WARNING: {warning}")


def _print_table(rows: Sequence[Mapping[str, str]], out: Console) -> None:
    for line in table_lines(rows, out.width):
        out.print(line, soft_wrap=True)


def _machine(machine: Machine) -> list[str]:
    packages = []
    for name, version in machine.packages.items():
        packages.append(f"{name} {version or 'not installed'}")
    gpus = ", ".join(machine.gpus) or "no GPU"
    return [
        f"Machine: {machine.cpu}, {machine.cores} cores, {machine.memory_gb:g} GiB, {gpus}",
        f"CPU has: {', '.join(machine.flags) or 'none of the features that matter'}",
        f"Linux {machine.kernel}, Python {machine.python}, {', '.join(packages)}",
    ]


def _row(figure: Figure) -> dict[str, str]:
    return {
        "section": figure.section,
        "figure": figure.name,
        "median": f"{shown(figure.median)} {figure.unit}",
        "spread": f"{shown(figure.lowest)} - {shown(figure.highest)}",
        "of": str(figure.rounds),
    }


def _goal(figure: Figure) -> dict[str, str]:
    return {
        "section": figure.section,
        "goal for": figure.name,
        "goal": f"{figure.goal} {figure.unit}",
        "measured": f"{shown(figure.median)} {figure.unit}",
        "verdict": figure.verdict,
    }


def _notes(figures: Sequence[Figure]) -> list[str]:
    """Return each note once, after the names of its sections."""
    noted: dict[str, list[str]] = {}
    for figure in figures:
        if figure.note and figure.section not in noted.setdefault(figure.note, []):
            noted[figure.note].append(figure.section)
    lines = []
    for note, sections in noted.items():
        lines.append(f"{', '.join(sections)}: {note}.")
    return lines


def shown(value: float) -> str:
    """Return a value with three significant digits.

    >>> [shown(value) for value in (0.0, 0.00234, 3.1623, 61234.5)]
    ['0', '0.00234', '3.16', '61,234']
    """
    if abs(value) < _NEGLIGIBLE:
        return "0"
    if abs(value) >= _THOUSAND:
        return f"{value:,.0f}"
    return f"{value:.3g}"

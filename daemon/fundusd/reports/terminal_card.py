"""The same for the terminal: an eye or a capture as lines of text."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Group
from rich.table import Table
from rich.text import Text

from fundusd.domain.clinical_terms import Grade
from fundusd.reports import wording
from fundusd.reports.terminal_table import printable

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from fundusd.reports.panel import Panel

_BAR = 30  # characters of a score of 1


def facts(pairs: Mapping[str, str]) -> Table:
    """Lay out names and values."""
    return _grid(
        (Text(name, style="dim"), Text(printable(value))) for name, value in pairs.items() if value
    )


def card(panel: Panel) -> Group:
    """Lay out a panel."""
    told = {
        "verdict": f"{wording.VERDICTS[panel.referable]}. {panel.grade}",
        "": panel.model,
        "quality": panel.quality,
        "human reader": panel.reading,
        "next": " ".join(panel.steps),
    }
    heading = Text.assemble((panel.heading, "bold"), f"  {printable(panel.source)}")
    return Group(heading, facts(told), *([_bars(panel.scores)] if panel.scores else []))


def _bars(scores: Sequence[float]) -> Table:
    best = max(scores)
    return _grid(
        (
            Text(grade.label, style="bold" if score == best else ""),
            Text("█" * round(score * _BAR) + "·" * (_BAR - round(score * _BAR))),
            Text(f"score {score:.3f}"),
        )
        for grade, score in zip(Grade, scores, strict=True)
    )


def _grid(rows: Iterable[Sequence[Text]]) -> Table:
    grid = Table.grid(padding=(0, 2))
    for row in rows:
        grid.add_row("", *row)
    return grid

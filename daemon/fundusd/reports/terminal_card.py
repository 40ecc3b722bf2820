"""The panel of an eye or a capture for the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Group
from rich.table import Table
from rich.text import Text

from fundusd.domain.clinical_terms import Grade
from fundusd.reports.terminal_table import printable

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rich.console import RenderableType

    from fundusd.reports.panel import Panel

_BAR = 30  # characters of a score of 1


def facts(pairs: Mapping[str, str]) -> Table:
    """Return a table of captions and values, omitting pairs with an empty value."""
    grid = _grid()
    for caption, value in pairs.items():
        if value:
            grid.add_row("", Text(caption, style="dim"), Text(printable(value)))
    return grid


def card(panel: Panel) -> Group:
    """Return a panel as lines of text, with a bar for each score."""
    rows = {
        "verdict": f"{panel.verdict}. {panel.grade}",
        "absent": panel.absence,
        "": panel.model,
        "quality": panel.quality,
        "warning": " ".join(panel.warnings),
        "human reader": panel.reading,
        "next": " ".join(panel.steps),
    }
    heading = Text.assemble((panel.heading, "bold"), f"  {printable(panel.source)}")
    parts: list[RenderableType] = [heading, facts(rows)]
    if panel.scores:
        parts.append(Text("  scores of the grades, not probabilities", style="dim"))
        parts.append(_bars(panel.scores))
    return Group(*parts)


def _bars(scores: Sequence[float]) -> Table:
    grid = _grid()
    for grade, score in zip(Grade, scores, strict=True):
        label = Text(grade.label)
        if score == max(scores):
            label.stylize("bold")
        filled = round(score * _BAR)
        bar = Text("█" * filled + "·" * (_BAR - filled))
        grid.add_row("", label, bar, Text(f"score {score:.3f}"))
    return grid


def _grid() -> Table:
    return Table.grid(padding=(0, 2))

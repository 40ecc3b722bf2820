"""The plot of agreement between the model and the readers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from fundusd.domain.clinical_terms import Grade
from fundusd.reports.page import INK, MUTED, font
from fundusd.reports.plot_style import new_plot

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from matplotlib.axes import Axes

_STEPS: tuple[Grade | None, ...] = (*Grade, None)
_LABELS = [*(grade.label for grade in Grade), "Ungradable"]
_DARK = 0.68  # white text is easier to read on a cell with a larger share


@dataclass(frozen=True, slots=True)
class Agreement:
    """The number of eyes with a given pair of grades: the model's and a reader's.

    A grade of None means ungradable.
    """

    model: Grade | None
    reader: Grade | None
    eyes: int


def plot_agreement(rows: Sequence[Agreement], to: Path) -> None:
    """Plot the number of eyes for each pair of a model's grade and a reader's grade, as a matrix.

    Raises RequestError if the file cannot be written.
    """
    counts = np.zeros((len(_STEPS), len(_STEPS)), int)  # [reader, model]
    missed = 0
    for row in rows:
        counts[_STEPS.index(row.reader), _STEPS.index(row.model)] += row.eyes
        if _is_missed(row.reader, row.model):
            missed += row.eyes
    total, same = counts.sum(), counts.trace()
    plot = new_plot(
        "Grades by model and by reader",
        f"The same for {same} of {total} eyes; referable by the reader, not by the model: {missed}",
        bool(total),
        height=4.8,
        unit="grade by the reader",
    )
    for axes in plot.axes:
        _draw_matrix(axes, counts)
    plot.save(to)


def _is_missed(reader: Grade | None, model: Grade | None) -> bool:
    """Return whether the reader's grade is referable, but the model's grade is not.

    An eye that the reader or the model calls ungradable is not missed.
    """
    return reader is not None and model is not None and model < Grade.MODERATE <= reader


def _draw_matrix(axes: Axes, counts: Any) -> None:
    """Draw the number of eyes in each cell, and colour the cell by its share of the row.

    The shares make rare grades visible too. Lines mark where referable grades begin and end.
    """
    shares = counts / np.maximum(1, counts.sum(axis=1, keepdims=True))
    edges = np.arange(len(_STEPS) + 1) - 0.5
    # not an image: images are smoothed when they are saved
    axes.pcolormesh(edges, edges, shares, cmap="Blues", vmin=0, vmax=1.15)
    axes.set_ylim(edges[-1], edges[0])
    axes.set_aspect("equal")
    for (y, x), count in np.ndenumerate(counts):
        _write_count(axes, x, y, int(count), is_dark=shares[y, x] > _DARK)
    for edge in (Grade.MODERATE - 0.5, Grade.PDR + 0.5):
        axes.axvline(edge, color=INK, linewidth=1)
        axes.axhline(edge, color=INK, linewidth=1)
    axes.set_xticks(range(len(_LABELS)), _LABELS)
    axes.set_yticks(range(len(_LABELS)), _LABELS)
    axes.set_xlabel("grade by the model", fontproperties=font(8), color=MUTED)
    axes.grid(visible=False)


def _write_count(axes: Axes, x: int, y: int, count: int, *, is_dark: bool) -> None:
    colour, weight = INK, "normal"
    if is_dark:
        colour = "white"
    if x == y:
        weight = "bold"
    axes.text(x, y, str(count or "·"), ha="center", va="center", color=colour, weight=weight)

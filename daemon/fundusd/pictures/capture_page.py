"""One capture on a card of A5."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fundusd.pictures import words
from fundusd.pictures.drawing import draw_card, draw_footer, draw_header, draw_warning
from fundusd.pictures.sheet import Sheet

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fundusd.domain import Release
    from fundusd.pictures.panel import Panel

_A5 = (595.28, 419.53)


def capture_page(panel: Panel, facts: Mapping[str, str], releases: Mapping[int, Release]) -> Sheet:
    """Draw a capture; `facts` say who and when, `releases` what gave the scores."""
    sheet = Sheet(*_A5)
    y = draw_header(sheet, "Diabetic retinopathy: one photograph", facts)
    y = draw_warning(sheet, y, words.warning(list(releases.values())))
    draw_card(sheet, y, panel, draw_footer(sheet, releases) - 8)
    return sheet

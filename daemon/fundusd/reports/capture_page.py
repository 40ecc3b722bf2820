"""One capture on a card, as wide as A4 and as high as it needs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fundusd.reports import wording
from fundusd.reports.page import Sheet
from fundusd.reports.page_parts import draw_card, draw_footer, draw_header, draw_warning

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fundusd.domain.inference import Release
    from fundusd.reports.panel import Panel

_WIDTH, _TALLEST = 595.28, 2000.0


def capture_page(panel: Panel, facts: Mapping[str, str], releases: Mapping[int, Release]) -> Sheet:
    """Draw a capture; `facts` say who and when, `releases` what gave the scores."""
    draft = Sheet(_WIDTH, _TALLEST)
    end = _draw(draft, panel, facts, releases)
    sheet = Sheet(_WIDTH, end + _TALLEST - draw_footer(draft, releases))
    _draw(sheet, panel, facts, releases)
    draw_footer(sheet, releases)
    return sheet


def _draw(
    sheet: Sheet, panel: Panel, facts: Mapping[str, str], releases: Mapping[int, Release]
) -> float:
    y = draw_header(sheet, "Diabetic retinopathy: one photograph", facts)
    y = draw_warning(sheet, y, wording.warning(list(releases.values())))
    return draw_card(sheet, y, panel) + 8

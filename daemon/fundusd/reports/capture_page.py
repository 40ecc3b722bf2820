"""The page of one capture, as wide as A4 and as high as its content."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fundusd.reports import wording
from fundusd.reports.page import Page
from fundusd.reports.page_parts import draw_card, draw_footer, draw_header, draw_warning

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fundusd.domain.inference import Release
    from fundusd.reports.panel import Panel

_WIDTH, _MAX_HEIGHT = 595.28, 2000.0


def capture_page(panel: Panel, facts: Mapping[str, str], releases: Mapping[int, Release]) -> Page:
    """Return the page of a capture.

    `facts` are the captions and values in the header. `releases` are the releases that produced the
    scores, keyed by number.
    """
    draft = Page(_WIDTH, _MAX_HEIGHT)
    end = _draw(draft, panel, facts, releases)
    footer_height = _MAX_HEIGHT - draw_footer(draft, releases)
    page = Page(_WIDTH, end + footer_height)
    _draw(page, panel, facts, releases)
    draw_footer(page, releases)
    page.across("PRELIMINARY")  # a photograph is never a result
    return page


def _draw(
    page: Page, panel: Panel, facts: Mapping[str, str], releases: Mapping[int, Release]
) -> float:
    y = draw_header(page, "Diabetic retinopathy: one photograph", facts)
    y = draw_warning(page, y, wording.warning(list(releases.values())))
    return draw_card(page, y, panel) + 8

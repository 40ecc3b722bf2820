"""A page to draw on, with coordinates in points from the upper left corner."""

from __future__ import annotations

from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
from matplotlib.backends.backend_pdf import PdfPages
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.ft2font import FT2Font
from matplotlib.patches import Rectangle
from matplotlib.textpath import text_to_path

from fundusd.domain.errors import RequestError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from fundusd.domain.decoding import Pixels

INK, MUTED, RULE, FAINT = "#16202a", "#56636f", "#cfd6dc", "#f3f5f7"
_POINTS = 72  # per inch
_FONTS = Path(mpl.get_data_path(), "fonts", "ttf")  # the same on every machine
_FONT_FILES = {True: _FONTS / "DejaVuSans-Bold.ttf", False: _FONTS / "DejaVuSans.ttf"}  # by bold
_LINE_HEIGHT = 1.38  # of the font size
_PNG_DPI = 150
# without dates, so that the same result gives the same bytes
_UNDATED = {"pdf": {"CreationDate": None}, "svg": {"Date": None}, "png": {"Software": None}}
_SAVE_SETTINGS: dict[Any, Any] = {
    "pdf.fonttype": 42,  # TrueType, which viewers draw more evenly than Type 3
    "image.composite_image": False,
    "text.hinting": "no_hinting",  # so that lines are as wide as they were measured
    "svg.hashsalt": "fundusd",  # ids derived from the content
}


@lru_cache
def font(size: float, *, bold: bool = False) -> FontProperties:
    """Return the font used for all text, in the given size and weight."""
    return FontProperties(fname=_FONT_FILES[bold], size=size)


@lru_cache
def _glyphs(*, bold: bool) -> frozenset[int]:
    return frozenset(FT2Font(str(_FONT_FILES[bold])).get_charmap())


def drawable(text: str, *, bold: bool = False) -> str:
    """Return text with escapes in place of characters for which the font has no glyph.

    Without escapes, all these characters would be drawn as the same empty box.
    """
    glyphs = _glyphs(bold=bold)
    parts = []
    for char in text:
        if ord(char) in glyphs and char.isprintable():
            parts.append(char)
        else:
            parts.append(char.encode("unicode_escape").decode())
    return "".join(parts)


class Page:
    """A page of `width` by `height` points."""

    def __init__(self, width: float, height: float) -> None:
        self.width, self.height = width, height
        self.figure = Figure(figsize=(width / _POINTS, height / _POINTS), facecolor="white")
        self._axes = self.figure.add_axes((0, 0, 1, 1))
        self._axes.set(xlim=(0, width), ylim=(height, 0))
        self._axes.set_axis_off()

    def text(  # noqa: PLR0913  the attributes of a line of text
        self, x: float, y: float, text: str, size: float = 8.5, *,
        bold: bool = False, colour: str = INK, align: str = "left",
    ) -> None:  # fmt: skip
        """Write one line of text with its baseline at `y`."""
        self._axes.text(
            x,
            y,
            drawable(text, bold=bold),
            fontproperties=font(size, bold=bold),
            color=colour,
            ha=align,
            va="baseline",
            parse_math=False,
        )

    def paragraph(  # noqa: PLR0913  the attributes of a paragraph
        self, x: float, y: float, width: float, text: str, size: float = 8.5, *,
        bold: bool = False, colour: str = INK, max_lines: int | None = None,
    ) -> float:  # fmt: skip
        """Write wrapped text with its first baseline at `y`.

        Return the baseline at which the next line would begin.
        """
        for line in wrapped(text, width, size, bold=bold, max_lines=max_lines):
            self.text(x, y, line, size, bold=bold, colour=colour)
            y += size * _LINE_HEIGHT
        return y

    def box(
        self, x: float, y: float, width: float, height: float, colour: str, edge: str = "none"
    ) -> None:
        """Fill a rectangle."""
        self._axes.add_patch(
            Rectangle((x, y), width, height, facecolor=colour, edgecolor=edge, linewidth=0.6)
        )

    def across(self, text: str) -> None:
        """Write a large word across the page, so pale that everything else stays legible."""
        self._axes.text(
            self.width / 2,
            self.height / 2,
            text,
            fontproperties=font(84, bold=True),
            color=INK,
            alpha=0.07,
            rotation=52,
            ha="center",
            va="center",
        )

    def rule(self, y: float, x: float, width: float) -> None:
        """Draw a thin horizontal line."""
        self.box(x, y, width, 0.6, RULE)

    def picture(self, x: float, y: float, side: float, pixels: Pixels) -> None:
        """Draw a square photograph."""
        self._axes.imshow(pixels, extent=(x, x + side, y + side, y), aspect="auto")
        self._axes.set(xlim=(0, self.width), ylim=(self.height, 0))  # imshow changes the limits

    def save(self, to: Path) -> None:
        """Write the page as PDF, SVG or PNG, depending on the suffix of `to`.

        Raises RequestError if the file cannot be written.
        """
        save_figure(self.figure, to)


def save_pages(pages: Sequence[Page], to: Path) -> None:
    """Write pages to a PDF.

    The same pages always yield the same bytes. Raises RequestError if the file cannot be written.
    """
    with mpl.rc_context(_SAVE_SETTINGS), _written(), PdfPages(to, metadata=_UNDATED["pdf"]) as pdf:
        for page in pages:
            _set_interpolation(page.figure, "pdf")
            pdf.savefig(page.figure)


@contextmanager
def _written() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise RequestError(
            f"The picture cannot be written ({error.strerror}).",
            hint="Name a file in a folder that you may write to.",
        ) from None


def text_width(text: str, size: float, *, bold: bool = False) -> float:
    """Return the width of a line of text in points."""
    width, _, _ = text_to_path.get_text_width_height_descent(
        drawable(text, bold=bold), font(size, bold=bold), False
    )
    return float(width)


def wrapped(
    text: str, width: float, size: float, *, bold: bool = False, max_lines: int | None = None
) -> list[str]:
    """Return text as lines of at most `width` points.

    Only a word that is wider than a line is split. If there are more than `max_lines` lines, the
    rest is replaced by an ellipsis.
    """
    lines = [""]
    for word in drawable(text, bold=bold).split():
        longer = f"{lines[-1]} {word}".lstrip()
        if text_width(longer, size, bold=bold) <= width:
            lines[-1] = longer
            continue
        if lines[-1]:
            lines.append("")
        for char in word:
            if lines[-1] and text_width(lines[-1] + char, size, bold=bold) > width:
                lines.append("")
            lines[-1] += char
    if max_lines is not None and len(lines) > max_lines:
        lines = [*lines[: max_lines - 1], lines[max_lines - 1][:-1] + "…"]
    return lines


def save_figure(figure: Figure, to: Path) -> None:
    """Write a figure as PDF, SVG or PNG, depending on the suffix of `to`.

    The same figure always yields the same bytes. Raises RequestError if the file cannot be written.
    """
    file_format = to.suffix.lower().removeprefix(".")
    _set_interpolation(figure, file_format)
    with mpl.rc_context(_SAVE_SETTINGS), _written():
        figure.savefig(to, format=file_format, dpi=_PNG_DPI, metadata=_UNDATED[file_format])


def _set_interpolation(figure: Figure, file_format: str) -> None:
    """Set images to be smoothed in a PNG, but not in a PDF or SVG.

    Images are scaled when a PNG is written, but those in a PDF or SVG are scaled by the viewer.
    """
    interpolation = "none"
    if file_format == "png":
        interpolation = "bilinear"
    for axes in figure.axes:
        for image in axes.images:
            image.set_interpolation(interpolation)

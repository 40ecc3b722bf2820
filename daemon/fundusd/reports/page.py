"""A sheet of paper to draw on: everything in points, from its upper left corner."""

from __future__ import annotations

import logging
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import matplotlib as mpl
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.ft2font import FT2Font
from matplotlib.patches import Rectangle
from matplotlib.textpath import text_to_path

from fundusd.domain.errors import RequestError

if TYPE_CHECKING:
    from fundusd.domain.decoding import Pixels

logging.getLogger("matplotlib").setLevel(logging.ERROR)  # it tells operators of its font cache

INK, MUTED, RULE, FAINT = "#16202a", "#56636f", "#cfd6dc", "#f3f5f7"
_POINTS = 72  # per inch
_FONTS = Path(mpl.get_data_path(), "fonts", "ttf")  # the same on every machine
_PNG_DPI = 150
# no dates, so that the same result gives the same bytes
_UNDATED = {"pdf": {"CreationDate": None}, "svg": {"Date": None}, "png": {"Software": None}}


@lru_cache
def font(size: float, *, bold: bool = False) -> FontProperties:
    """Return the face of all text."""
    return FontProperties(fname=_file(bold=bold), size=size)


def _file(*, bold: bool) -> Path:
    return _FONTS / ("DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf")


@lru_cache
def _glyphs(*, bold: bool) -> frozenset[int]:
    return frozenset(FT2Font(str(_file(bold=bold))).get_charmap())


def drawable(text: str, *, bold: bool = False) -> str:
    """Write as an escape what the face has no glyph for, rather than as a box that could be anything."""
    glyphs = _glyphs(bold=bold)
    return "".join(
        char
        if ord(char) in glyphs and char.isprintable()
        else char.encode("unicode_escape").decode()
        for char in text
    )


class Sheet:
    """A page of `width` by `height` points."""

    def __init__(self, width: float, height: float) -> None:
        self.width, self.height = width, height
        self.figure = Figure(figsize=(width / _POINTS, height / _POINTS), facecolor="white")
        self._axes = self.figure.add_axes((0, 0, 1, 1))
        self._axes.set(xlim=(0, width), ylim=(height, 0))
        self._axes.set_axis_off()

    def text(  # noqa: PLR0913  what a line of text is made of
        self, x: float, y: float, text: str, size: float = 8.5, *,
        bold: bool = False, colour: str = INK, align: str = "left",
    ) -> None:  # fmt: skip
        """Write one line; `y` is its base line."""
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

    def paragraph(  # noqa: PLR0913  what a paragraph is made of
        self, x: float, y: float, width: float, text: str, size: float = 8.5, *,
        bold: bool = False, colour: str = INK, lines: int | None = None,
    ) -> float:  # fmt: skip
        """Write text broken into lines, of which the first has its base line at `y`; return where a next one has."""
        for line in broken(text, width, size, bold=bold, lines=lines):
            self.text(x, y, line, size, bold=bold, colour=colour)
            y += size * 1.38
        return y

    def box(
        self, x: float, y: float, width: float, height: float, colour: str, edge: str = "none"
    ) -> None:
        """Fill a rectangle."""
        self._axes.add_patch(
            Rectangle((x, y), width, height, facecolor=colour, edgecolor=edge, linewidth=0.6)
        )

    def rule(self, y: float, x: float, width: float) -> None:
        """Draw a hairline."""
        self.box(x, y, width, 0.6, RULE)

    def picture(self, x: float, y: float, side: float, pixels: Pixels) -> None:
        """Show a square photograph."""
        self._axes.imshow(pixels, extent=(x, x + side, y + side, y), aspect="auto")
        self._axes.set(xlim=(0, self.width), ylim=(self.height, 0))  # imshow has moved them

    def save(self, to: Path, kind: str = "") -> None:
        """Write the page as pdf, svg or png, by the suffix of its name unless told; raises RequestError."""
        save(self.figure, to, kind)


def width_of(text: str, size: float, *, bold: bool = False) -> float:
    """Return how many points a line of text is wide."""
    width, _, _ = text_to_path.get_text_width_height_descent(
        drawable(text, bold=bold), font(size, bold=bold), False
    )
    return float(width)


def broken(
    text: str, width: float, size: float, *, bold: bool = False, lines: int | None = None
) -> list[str]:
    """Break text into lines of at most `width` points, inside a word only where it alone is wider."""
    made = [""]
    for word in drawable(text, bold=bold).split():
        longer = f"{made[-1]} {word}".lstrip()
        if width_of(longer, size, bold=bold) <= width:
            made[-1] = longer
            continue
        made += [""] if made[-1] else []
        for char in word:
            if made[-1] and width_of(made[-1] + char, size, bold=bold) > width:
                made.append("")
            made[-1] += char
    if lines is not None and len(made) > lines:
        made = [*made[: lines - 1], made[lines - 1][:-1] + "…"]
    return made


def save(figure: Figure, to: Path, kind: str = "") -> None:
    """Write a figure as pdf, svg or png, by the suffix of its name unless told; the same one gives the same bytes.

    Raises RequestError.
    """
    kind = kind or to.suffix.lower().removeprefix(".")
    for image in (one for axes in figure.axes for one in axes.images):
        image.set_interpolation(
            "bilinear" if kind == "png" else "none"
        )  # elsewhere the reader's program scales it
    with mpl.rc_context(
        {
            "pdf.fonttype": 42,  # TrueType, which viewers draw more evenly than Type 3
            "image.composite_image": False,
            "text.hinting": "no_hinting",  # lines as wide as they were measured
            "svg.hashsalt": "fundusd",  # ids that follow from the content
        }
    ):
        try:
            figure.savefig(to, format=kind, dpi=_PNG_DPI, metadata=_UNDATED[kind])
        except OSError as error:
            raise RequestError(
                f"The picture cannot be written ({error.strerror}).",
                hint="Name a file in a folder you may write to.",
            ) from None

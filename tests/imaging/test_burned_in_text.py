"""Text in the surround of a photograph is found; plain photographs have none."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont
from tests import imaging_cases as cases

from fundusd.domain.capture_warnings import CaptureWarning
from fundusd.domain.decoding import Preprocessing
from fundusd.imaging.burned_in_text import has_text_in_surround
from fundusd.imaging.decode import decode
from fundusd.imaging.limits import Limits

if TYPE_CHECKING:
    from fundusd.domain.decoding import Pixels

FUNDUS = Path(__file__).parents[3] / "shared" / "data" / "fundus"
RETINA = cases.retina(800, 700)
TYPEFACES = Path(mpl.get_data_path()) / "fonts" / "ttf"
WHITE = (255, 255, 255)


def captioned(
    pixels: Pixels,
    text: str,
    place: str = "left top",
    colour: tuple[int, int, int] = WHITE,
    height: float = 0.03,
    typeface: str | None = None,
) -> Pixels:
    """Draw text into a corner of a photograph, `height` of the short side high, as a JPEG."""
    image = Image.fromarray(pixels)
    size = max(10, round(height * min(image.size)))
    font = ImageFont.load_default(size)
    if typeface is not None:
        font = ImageFont.truetype(str(TYPEFACES / f"{typeface}.ttf"), size)
    draw = ImageDraw.Draw(image)
    _, _, width, depth = draw.textbbox((0, 0), text, font=font)
    x = 5 if "left" in place else image.width - width - 5
    y = 5 if "top" in place else image.height - depth - 5
    draw.text((x, y), text, fill=colour, font=font)
    return np.asarray(Image.open(BytesIO(cases.encode(image, "JPEG", quality=80))))


def captioned_vertically(pixels: Pixels, text: str, turns: int, **options: Any) -> Pixels:
    """Draw text that runs upwards (one quarter turn) or downwards (three) along a border."""
    turned = captioned(np.rot90(pixels, -turns), text, **options)
    return np.rot90(turned, turns)


@pytest.mark.parametrize("place", ["left top", "right top", "left bottom", "right bottom"])
@pytest.mark.parametrize("text", ["Phantom, P.", "1951-03-12", "MRN 004512", "phantom seven"])
@pytest.mark.parametrize("height", [0.02, 0.03, 0.04])
def test_a_caption_in_a_corner_is_found(text: str, place: str, height: float) -> None:
    assert has_text_in_surround(captioned(RETINA, text, place, height=height))


@pytest.mark.parametrize(
    "colour", [(255, 255, 0), (0, 255, 0), (255, 60, 60), (130, 130, 130)], ids=str
)
def test_text_of_any_readable_colour_is_found(colour: tuple[int, int, int]) -> None:
    assert has_text_in_surround(captioned(RETINA, "Phantom, P.", colour=colour))


@pytest.mark.parametrize(("paper", "ink"), [(255, 0), (0, 255), (70, 230), (170, 20)])
def test_a_strip_with_a_caption_below_the_photograph_is_found(paper: int, ink: int) -> None:
    strip = np.full((60, 800, 3), paper, np.uint8)
    pixels = np.concatenate([RETINA, strip])
    pixels = captioned(pixels, "Phantom, P. 1951-03-12", "left bottom", (ink, ink, ink))
    assert has_text_in_surround(pixels)
    assert not has_text_in_surround(np.concatenate([RETINA, strip]))


@pytest.mark.parametrize("turns", [1, 3])
@pytest.mark.parametrize("place", ["left top", "right top", "left bottom", "right bottom"])
@pytest.mark.parametrize("text", ["Phantom, P.", "1951-03-12", "MRN 004512"])
@pytest.mark.parametrize("height", [0.02, 0.04])
def test_a_vertical_caption_along_a_border_is_found(
    text: str, place: str, height: float, turns: int
) -> None:
    marked = captioned_vertically(RETINA, text, turns, place=place, height=height)
    assert has_text_in_surround(marked)


@pytest.mark.parametrize("turns", [0, 1, 2, 3])
@pytest.mark.parametrize("typeface", ["DejaVuSans-Bold", "DejaVuSerif", "DejaVuSansMono", "cmr10"])
def test_a_caption_in_any_typeface_and_direction_is_found(typeface: str, turns: int) -> None:
    assert has_text_in_surround(
        captioned_vertically(RETINA, "Phantom, P.", turns, typeface=typeface)
    )


@pytest.mark.parametrize("turns", [1, 3])
@pytest.mark.parametrize(("paper", "ink"), [(255, 0), (0, 255), (70, 230), (170, 20)])
def test_a_strip_with_a_vertical_caption_beside_the_photograph_is_found(
    paper: int, ink: int, turns: int
) -> None:
    strip = np.full((700, 60, 3), paper, np.uint8)
    pixels = np.concatenate([RETINA, strip], axis=1)
    place = "left bottom" if turns == 1 else "left top"
    text, colour = "Phantom, P. 1951-03-12", (ink, ink, ink)
    marked = captioned_vertically(pixels, text, turns, place=place, colour=colour)
    assert has_text_in_surround(marked)
    assert not has_text_in_surround(pixels)


@pytest.mark.parametrize("text", ["R", "L", "OD", "OS"])
def test_the_mark_of_an_eye_is_no_text(text: str) -> None:
    assert not has_text_in_surround(captioned(RETINA, text))


@pytest.mark.parametrize("size", [(3, 2), (448, 448), (3000, 2400)])
def test_a_plain_photograph_has_no_text(size: tuple[int, int]) -> None:
    retina = cases.retina(*size)
    assert not has_text_in_surround(retina)
    noise = np.random.default_rng(1).normal(12, 8, retina.shape)
    assert not has_text_in_surround(np.clip(retina + noise, 0, 255).astype(np.uint8))
    assert not has_text_in_surround(np.zeros_like(retina))
    assert not has_text_in_surround(np.full_like(retina, 255))


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF"])
def test_a_captioned_photograph_is_graded_with_a_warning(kind: str) -> None:
    plain, marked = (
        decode(cases.encode(pixels, kind), Preprocessing.PAD_SQUARE, 448, Limits())
        for pixels in (RETINA, captioned(RETINA, "Phantom, P."))
    )
    assert plain.reason is None
    assert marked.reason is None
    assert marked.content is not None
    assert plain.content is not None
    assert CaptureWarning.TEXT_IN_SURROUND in marked.content.warnings
    assert CaptureWarning.TEXT_IN_SURROUND not in plain.content.warnings


@pytest.mark.skipif(not FUNDUS.is_dir(), reason="no ../shared/data here")
@pytest.mark.parametrize("folder", ["eyepacs_1024", "eyeq_dev", "idrid_dev", "mfiddr", "chase_dev"])
def test_photographs_have_text_only_after_it_was_drawn(folder: str) -> None:
    files = [*(FUNDUS / folder).rglob("*.jp*g"), *(FUNDUS / folder).rglob("*.png")]
    assert files
    files.sort()
    for file in files[:: max(1, len(files) // 8)]:
        with Image.open(file) as image:
            pixels = np.asarray(image.convert("RGB"))
        assert not has_text_in_surround(pixels)
        assert has_text_in_surround(captioned(pixels, "Phantom, P. 1951-03-12"))

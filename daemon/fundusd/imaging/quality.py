"""The first gate: whether this is a colour retina at all, with light enough to grade it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from fundusd.domain import Reason
from fundusd.imaging.colour import ycc_to_rgb

if TYPE_CHECKING:
    import numpy.typing as npt

    from fundusd.domain import Pixels

QUALITY_GATE = "retina-colour/1"

# Measured on EyePACS, Canon, Topcon and hand-held captures; per-camera values are a later matter.
SMALLEST_SIDE = 448  # pixels: what the model sees
_SAMPLED_SIDE = 192  # pixels: what is measured
_LEAST_LIGHT = 12.0  # luminance of the surround's noise
_DISC_SHARE = (0.30, 0.95)
_DARK_CORNERS = 0.75  # of the four corners: cameras write a mark or a date into one
_CORNER = 0.05  # of the short side
_CORE_FILL = 0.85  # of the middle of the disc that must be lit
_BOX_FILL = (0.60, 0.98)  # a circle fills 0.79 of its box, one cut at top and bottom more
_LEAST_COLOUR = 0.03  # (red - blue) / red; the palest of 52 graded captures has 0.08
_LUMINANCE = (25.0, 225.0)
_MOST_SATURATED = 0.35
_SATURATED = 250


def measure(rgb: Pixels) -> dict[str, float]:
    """Measure RGB [height, width, 3] on a thinned copy; shares are 0 to 1, levels 0 to 255."""
    step = max(1, min(rgb.shape[:2]) // _SAMPLED_SIDE)
    sample = thin(rgb, step)
    lit = find_lit(sample)
    red, green, blue = (sample[..., channel][lit] for channel in range(3)) if lit.any() else np.zeros((3, 1), np.uint8)
    mean = np.array([channel.mean(dtype=np.float64) for channel in (red, green, blue)])
    measures = {
        "short_side": float(min(rgb.shape[:2])),
        "disc_share": float(lit.mean()),
        "dark_corners": _dark_corners(lit),
        **_shape(lit),
        "red": float(mean[0]),
        "green": float(mean[1]),
        "blue": float(mean[2]),
        "luminance": float(_luminance(mean)),
        "saturated": float((np.maximum(np.maximum(red, green), blue) >= _SATURATED).mean()),
    }
    return {name: round(value, 4) for name, value in measures.items()}  # alike on every processor


def thin(rgb: Pixels, step: int) -> Pixels:
    """Take every `step`th pixel; each channel of the result lies together in memory."""
    return np.moveaxis(np.ascontiguousarray(np.moveaxis(rgb[::step, ::step], 2, 0)), 0, 2)


def find_lit(rgb: Pixels) -> npt.NDArray[np.bool_]:
    """Part the disc from its surround, by a threshold that follows the light there is."""
    luminance = _luminance(rgb)
    return luminance > max(_LEAST_LIGHT, 0.12 * float(np.percentile(luminance, 95)))


def _luminance(rgb: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """Weigh the channels (ITU-R BT.601); not by a dot product, whose last bit depends on the BLAS."""
    return 0.299 * rgb[..., 0] + 0.587 * rgb[..., 1] + 0.114 * rgb[..., 2]


def _dark_corners(lit: npt.NDArray[np.bool_]) -> float:
    side = max(1, round(_CORNER * min(lit.shape)))
    edges = (slice(None, side), slice(-side, None))
    return float(np.mean([not lit[rows, columns].mean() > 0.5 for rows in edges for columns in edges]))  # noqa: PLR2004  most of it


def _shape(lit: npt.NDArray[np.bool_]) -> dict[str, float]:
    """Measure how much of its bounding box, and of that box's middle half, the lit area fills."""
    box = lit[bounds(lit)]
    if not box.size:
        return {"box_fill": 0.0, "core_fill": 0.0}
    height, width = box.shape
    core = box[height // 4 : height - height // 4, width // 4 : width - width // 4]
    return {"box_fill": float(box.mean()), "core_fill": float(core.mean())}


def bounds(lit: npt.NDArray[np.bool_]) -> tuple[slice, slice]:
    """Return the rows and columns where a noticeable part is lit; specks in the surround do not count."""
    rows, columns = (np.flatnonzero(lit.mean(axis=axis) > 0.02) for axis in (1, 0))  # noqa: PLR2004
    if not rows.size or not columns.size:
        return slice(0, 0), slice(0, 0)
    return slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1)


def gate(measures: dict[str, float]) -> Reason | None:
    """Judge what `measure` found; None: a colour retina that can be graded."""
    low, high = _LUMINANCE
    if measures["disc_share"] == 0:
        return Reason.TOO_DARK  # nothing in the frame at all: the flash did not fire
    if not _is_disc(measures) or measures["blue"] > measures["red"]:
        return Reason.NOT_RETINA
    if measures["red"] - measures["blue"] < _LEAST_COLOUR * measures["red"]:
        return Reason.REDFREE_OR_FA
    if measures["short_side"] < SMALLEST_SIDE:
        return Reason.SMALL
    if measures["luminance"] < low:
        return Reason.TOO_DARK
    if measures["luminance"] > high or measures["saturated"] > _MOST_SATURATED:
        return Reason.TOO_BRIGHT
    return None


def _is_disc(measures: dict[str, float]) -> bool:
    return (
        _DISC_SHARE[0] <= measures["disc_share"] <= _DISC_SHARE[1]
        and measures["dark_corners"] >= _DARK_CORNERS
        and _BOX_FILL[0] <= measures["box_fill"] <= _BOX_FILL[1]
        and measures["core_fill"] >= _CORE_FILL
    )


def is_mislabelled(rgb: Pixels) -> bool:
    """Tell whether a picture that is no retina as labelled is one in another colour space.

    YCbCr taken for RGB and BGR taken for RGB are undone and measured again. RGB taken for YCbCr
    cannot be undone (it clips); it turns everything, the black surround too, to pure green.
    """
    step = max(1, min(rgb.shape[:2]) // _SAMPLED_SIDE)
    sample = np.ascontiguousarray(rgb[::step, ::step])
    red, green, blue = np.moveaxis(sample.astype(np.int16), 2, 0)
    if float((green - np.maximum(red, blue) > 50).mean()) > 0.6:  # noqa: PLR2004
        return True
    height, width = sample.shape[:2]
    others = (ycc_to_rgb(width, height, sample.tobytes()), sample[..., ::-1])
    return any(_is_colour_retina(other) for other in others)


def _is_colour_retina(rgb: Pixels) -> bool:
    return gate(measure(rgb)) not in {Reason.NOT_RETINA, Reason.REDFREE_OR_FA}

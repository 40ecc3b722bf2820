"""The quality gate: whether this is a colour retina at all, and then whether it can be graded."""

from __future__ import annotations

import hashlib
import math
from typing import TYPE_CHECKING, Any

import numpy as np
import orjson

from fundusd.clinical import quality_thresholds
from fundusd.clinical.quality_thresholds import DEFAULTS, Thresholds
from fundusd.domain.clinical_terms import Reason
from fundusd.imaging.colour import ycc_to_rgb
from fundusd.imaging.sharpness import NOTHING, measure_detail

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy.typing as npt

    from fundusd.domain.decoding import Pixels

QUALITY_GATE = "retina-colour/2"

# Measured on EyePACS, Canon, Topcon and hand-held captures; what differs between cameras is in fundusd.gradability.
_SMALLEST_BLACK = 448  # pixels: a smaller black picture is no photograph that failed
_SAMPLED_SIDE = 192  # pixels: what is measured
_LEAST_LIGHT = 12.0  # luminance of the surround's noise
_DISC_SHARE = (0.30, 0.95)
_WHOLE_FIELD = 0.6
_PART_SHARE, _PART_FILL = 0.12, 0.45  # least of frame and box for a disc of which a part is missing
_LIT_FIELD = 0.3  # of the disc's median luminance: what is darker shows nothing
_DARK_CORNERS = 0.75  # of the four corners: cameras write a mark or a date into one
_CORNER = 0.05  # of the short side
_CORE_FILL = 0.85  # of the middle of the disc that must be lit
_BOX_FILL = (0.60, 0.98)  # a circle fills 0.79 of its box, one cut at top and bottom more
_LEAST_COLOUR = 0.03  # (red - blue) / red; the palest of 52 graded captures has 0.08
_MOST_GREEN = 1.15  # green / red; the palest of 50 captures has 0.96
_PEAK = 0.5  # of the largest extent: what a second field in the frame has at least
_WAIST = 0.6  # between two fields
_APART = 0.3  # between four in a square; a ring is wider
_OBLONG = 1.4
_SATURATED = 250


def measure(rgb: Pixels) -> dict[str, float]:
    """Measure RGB [height, width, 3] on a thinned copy; shares are 0 to 1, levels 0 to 255."""
    step = max(1, min(rgb.shape[:2]) // _SAMPLED_SIDE)
    sample = thin(rgb, step)
    lit = find_lit(sample)
    red, green, blue = (
        (sample[..., channel][lit] for channel in range(3))
        if lit.any()
        else np.zeros((3, 1), np.uint8)
    )
    mean = np.array([channel.mean(dtype=np.float64) for channel in (red, green, blue)])
    box = bounds(lit)
    measures = {
        "side_pixels": float(min(rgb.shape[:2])),
        "disc_share": float(lit.mean()),
        "dark_corners": _dark_corners(lit),
        **_shape(lit[box]),
        "waist": _waist(lit[box]),
        "red": float(mean[0]),
        "green": float(mean[1]),
        "blue": float(mean[2]),
        "luminance": float(_luminance(mean)),
        "saturated": float((np.maximum(np.maximum(red, green), blue) >= _SATURATED).mean()),
        "field": _field(sample, lit, box),
        **_detail(rgb, box, step),
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
    return float(
        np.mean([not lit[rows, columns].mean() > 0.5 for rows in edges for columns in edges])  # noqa: PLR2004  most of it
    )


def _shape(disc: npt.NDArray[np.bool_]) -> dict[str, float]:
    """Measure how much of its bounding box, and of that box's middle half, the lit area fills."""
    if not disc.size:
        return {"box_fill": 0.0, "core_fill": 0.0}
    height, width = disc.shape
    core = disc[height // 4 : height - height // 4, width // 4 : width - width // 4]
    return {"box_fill": float(disc.mean()), "core_fill": float(core.mean())}


def _waist(disc: npt.NDArray[np.bool_]) -> float:
    """Measure how narrow the lit area gets between two broad parts, by the lesser: 0 apart, 1 one piece.

    Along the longer side of an oblong box; else along both and almost apart: a shadow may lie across a disc.
    """
    if not disc.size:
        return 1.0
    height, width = disc.shape
    along = [_dip(disc.sum(axis=axis)) for axis in (0, 1)]
    if width > _OBLONG * height:
        return along[0]
    if height > _OBLONG * width:
        return along[1]
    return max(along) if max(along) < _APART else 1.0


def _dip(extent: npt.NDArray[np.int_]) -> float:
    before, behind = (np.maximum.accumulate(one) for one in (extent, extent[::-1]))
    peaks = np.minimum(before, behind[::-1])
    between = peaks >= _PEAK * extent.max()
    return float((extent[between] / peaks[between]).min())


def _field(sample: Pixels, lit: npt.NDArray[np.bool_], box: tuple[slice, slice]) -> float:
    """Measure how much of the whole circle is there, and light enough to show something."""
    diameter = max(side.stop - side.start for side in box)
    if not diameter:
        return 0.0
    luminance = _luminance(sample)
    bright = luminance > max(_LEAST_LIGHT, _LIT_FIELD * float(np.median(luminance[lit])))
    return float((bright & lit).sum() / (math.pi / 4 * diameter**2))


def _detail(rgb: Pixels, box: tuple[slice, slice], step: int) -> dict[str, float]:
    if not box[0].stop:
        return NOTHING
    rows, columns = (slice(side.start * step, side.stop * step) for side in box)
    return measure_detail(rgb, (rows, columns))


def bounds(lit: npt.NDArray[np.bool_]) -> tuple[slice, slice]:
    """Return the rows and columns where a noticeable part is lit; specks in the surround do not count."""
    rows, columns = (np.flatnonzero(lit.mean(axis=axis) > 0.02) for axis in (1, 0))  # noqa: PLR2004
    if not rows.size or not columns.size:
        return slice(0, 0), slice(0, 0)
    return slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1)


def gate(measures: Mapping[str, float], thresholds: Thresholds = DEFAULTS) -> Reason | None:
    """Judge what `measure` found; None: a colour retina that can be graded."""
    return recognise(measures) or quality_thresholds.judge(measures, thresholds)


def recognise(measures: Mapping[str, float]) -> Reason | None:
    """Return what tells that this is no single colour retina, None if it may be one; the same for every camera."""
    if measures["disc_share"] == 0 and measures["side_pixels"] >= _SMALLEST_BLACK:
        return Reason.TOO_DARK  # nothing in the frame at all: the flash did not fire
    if _is_montage(measures):
        return Reason.MONTAGE
    if not _is_disc(measures) or measures["blue"] > measures["red"]:
        return Reason.NOT_RETINA
    pale = measures["red"] - measures["blue"] < _LEAST_COLOUR * measures["red"]
    return (
        Reason.REDFREE_OR_FA if pale or measures["green"] > _MOST_GREEN * measures["red"] else None
    )


def gate_id(cameras: Mapping[str, Thresholds]) -> str:
    """Name the gate, and with it all thresholds that some camera has of its own: they too decide what is graded."""
    own = {
        camera: changed
        for camera, one in cameras.items()
        if (changed := quality_thresholds.changes(one))
    }
    if not own:
        return QUALITY_GATE
    return f"{QUALITY_GATE}+{hashlib.sha256(orjson.dumps(own, option=orjson.OPT_SORT_KEYS)).hexdigest()[:8]}"


def _is_montage(measures: Mapping[str, float]) -> bool:
    return (
        measures["waist"] < _WAIST
        and measures["disc_share"] >= _DISC_SHARE[0]
        and measures["dark_corners"] >= _DARK_CORNERS
    )


def _is_disc(measures: Mapping[str, float]) -> bool:
    is_whole = measures["field"] >= _WHOLE_FIELD
    least_share, least_fill = (
        (_DISC_SHARE[0], _BOX_FILL[0]) if is_whole else (_PART_SHARE, _PART_FILL)
    )
    return (
        least_share <= measures["disc_share"] <= _DISC_SHARE[1]
        and measures["dark_corners"] >= _DARK_CORNERS
        and least_fill <= measures["box_fill"] <= _BOX_FILL[1]
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
    return recognise(measure(rgb)) not in {Reason.NOT_RETINA, Reason.REDFREE_OR_FA}

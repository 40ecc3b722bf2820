"""The quality gate, which decides whether an image is a colour retina that can be graded."""

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
from fundusd.imaging.optic_disc import measure_optic_disc
from fundusd.imaging.sharpness import NO_DETAIL, measure_detail

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy.typing as npt

    from fundusd.domain.decoding import Pixels

QUALITY_GATE = "retina-colour/2"

# Measured on EyePACS, Canon, Topcon and hand-held captures; the thresholds that differ between
# cameras are in fundusd.clinical.quality_thresholds
_MIN_BLACK_SIDE = 448  # pixels: a smaller black image is not a photograph whose flash failed
_SAMPLED_SIDE = 192  # pixels of the subsampled image that is measured
_MIN_LIGHT = 12.0  # luminance: above the noise of the surround
_DISC_SHARE = (0.30, 0.95)
_WHOLE_FIELD = 0.6
_PART_SHARE, _PART_FILL = 0.12, 0.45  # least share of frame and box for an incomplete disc
_LIT_FIELD = 0.3  # of the disc's median luminance: darker areas show nothing
_DARK_CORNERS = 0.75  # of the four corners: some cameras print a mark or a date into one
_CORNER = 0.05  # of the short side
_CORE_FILL = 0.85  # share of the middle of the disc that must be lit
_BOX_FILL = (0.60, 0.98)  # a circle fills 0.79 of its box, or more if cut off at top and bottom
_MIN_COLOUR = 0.03  # (red - blue) / red; the palest of 52 graded captures has 0.08
_MAX_GREEN = 1.15  # green / red; the palest of 50 captures has 0.96
_PEAK = 0.5  # of the largest extent: the least for a second field in the frame
_WAIST = 0.6  # between two fields
_APART = 0.3  # between four fields in a square; a ring is wider
_OBLONG = 1.4
_SATURATED = 250
_MIN_LIT_SHARE = 0.02  # of a row or column inside the bounding box


def measure(rgb: Pixels) -> dict[str, float]:
    """Return the quality measures of an RGB image [height, width, 3], by name.

    Shares are from 0 to 1, and levels from 0 to 255.
    """
    step = max(1, min(rgb.shape[:2]) // _SAMPLED_SIDE)
    sample = subsample(rgb, step)
    lit = find_lit(sample)
    channels = _lit_channels(sample, lit)
    mean = np.array([channel.mean(dtype=np.float64) for channel in channels])
    saturated = np.maximum.reduce(channels) >= _SATURATED
    box = bounding_box(lit)
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
        "saturated": float(saturated.mean()),
        "field": _field(sample, lit, box),
        **_detail(rgb, box, step),
        **measure_optic_disc(sample, lit, box),
    }
    return {name: round(value, 4) for name, value in measures.items()}  # the same on any CPU


def _lit_channels(sample: Pixels, lit: npt.NDArray[np.bool_]) -> list[Pixels]:
    """Return the lit pixels of each channel, or a single black pixel if nothing is lit."""
    if not lit.any():
        return [np.zeros(1, np.uint8)] * 3
    return [sample[..., channel][lit] for channel in range(3)]


def subsample(rgb: Pixels, step: int) -> Pixels:
    """Return every `step`th pixel of each axis.

    Each channel of the result is contiguous.
    """
    return np.moveaxis(np.ascontiguousarray(np.moveaxis(rgb[::step, ::step], 2, 0)), 0, 2)


def find_lit(rgb: Pixels) -> npt.NDArray[np.bool_]:
    """Return a mask of the disc, which is brighter than a threshold relative to the exposure."""
    luminance = _luminance(rgb)
    return luminance > max(_MIN_LIGHT, 0.12 * float(np.percentile(luminance, 95)))


def _luminance(rgb: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """Return the luminance (ITU-R BT.601).

    It is not computed as a dot product, whose last bit would depend on the BLAS.
    """
    return 0.299 * rgb[..., 0] + 0.587 * rgb[..., 1] + 0.114 * rgb[..., 2]


def _dark_corners(lit: npt.NDArray[np.bool_]) -> float:
    """Return how many of the four corners are mostly dark, as a share from 0 to 1."""
    side = max(1, round(_CORNER * min(lit.shape)))
    first, last = slice(None, side), slice(-side, None)
    dark = 0
    for corner in ((first, first), (first, last), (last, first), (last, last)):
        if not lit[corner].mean() > 0.5:  # noqa: PLR2004  more than half
            dark += 1
    return dark / 4


def _shape(disc: npt.NDArray[np.bool_]) -> dict[str, float]:
    """Return the shares of lit pixels in the disc's bounding box and in its middle half."""
    if not disc.size:
        return {"box_fill": 0.0, "core_fill": 0.0}
    height, width = disc.shape
    core = disc[height // 4 : height - height // 4, width // 4 : width - width // 4]
    return {"box_fill": float(disc.mean()), "core_fill": float(core.mean())}


def _waist(disc: npt.NDArray[np.bool_]) -> float:
    """Return the relative width of the disc where it narrows between two broad parts.

    The measure is the narrowest extent divided by the extent of the smaller part. It is 0 for
    separate parts and 1 for a single part. In an oblong box, it is measured along the longer side.
    Otherwise, the parts must be almost separate along both sides, because a shadow may lie across a
    single disc.
    """
    if not disc.size:
        return 1.0
    height, width = disc.shape
    across, down = _narrowing(disc.sum(axis=0)), _narrowing(disc.sum(axis=1))
    if width > _OBLONG * height:
        return across
    if height > _OBLONG * width:
        return down
    if max(across, down) < _APART:
        return max(across, down)
    return 1.0


def _narrowing(extent: npt.NDArray[np.int_]) -> float:
    before = np.maximum.accumulate(extent)
    after = np.maximum.accumulate(extent[::-1])[::-1]
    peaks = np.minimum(before, after)
    between = peaks >= _PEAK * extent.max()
    return float((extent[between] / peaks[between]).min())


def _field(sample: Pixels, lit: npt.NDArray[np.bool_], box: tuple[slice, slice]) -> float:
    """Return the share of the retina's full circle that is in the frame and bright enough."""
    diameter = max(side.stop - side.start for side in box)
    if not diameter:
        return 0.0
    luminance = _luminance(sample)
    bright = luminance > max(_MIN_LIGHT, _LIT_FIELD * float(np.median(luminance[lit])))
    return float((bright & lit).sum() / (math.pi / 4 * diameter**2))


def _detail(rgb: Pixels, box: tuple[slice, slice], step: int) -> dict[str, float]:
    if not box[0].stop:
        return NO_DETAIL
    rows = slice(box[0].start * step, box[0].stop * step)
    columns = slice(box[1].start * step, box[1].stop * step)
    return measure_detail(rgb, (rows, columns))


def bounding_box(lit: npt.NDArray[np.bool_]) -> tuple[slice, slice]:
    """Return the ranges of rows and columns that are more than 2 % lit, which excludes specks."""
    rows = np.flatnonzero(lit.mean(axis=1) > _MIN_LIT_SHARE)
    columns = np.flatnonzero(lit.mean(axis=0) > _MIN_LIT_SHARE)
    if not rows.size or not columns.size:
        return slice(0, 0), slice(0, 0)
    return slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1)


def gate(measures: Mapping[str, float], thresholds: Thresholds = DEFAULTS) -> Reason | None:
    """Return the reason why the image cannot be graded, or None for a gradable colour retina."""
    return recognise(measures) or quality_thresholds.judge(measures, thresholds)


def recognise(measures: Mapping[str, float]) -> Reason | None:
    """Return the reason why the image is not a single colour retina, or None if it may be one.

    The criteria are the same for every camera.
    """
    if measures["disc_share"] == 0 and measures["side_pixels"] >= _MIN_BLACK_SIDE:
        return Reason.TOO_DARK  # the frame is black: the flash did not fire
    if _is_montage(measures):
        return Reason.MONTAGE
    if not _is_disc(measures) or measures["blue"] > measures["red"]:
        return Reason.NOT_RETINA
    is_pale = measures["red"] - measures["blue"] < _MIN_COLOUR * measures["red"]
    if is_pale or measures["green"] > _MAX_GREEN * measures["red"]:
        return Reason.REDFREE_OR_FA
    return None


def gate_id(cameras: Mapping[str, Thresholds]) -> str:
    """Return the gate's identifier, which covers the thresholds changed for individual cameras.

    These thresholds, too, decide which captures are graded, so changing them makes a new release.
    """
    changes_by_camera: dict[str, dict[str, float]] = {}
    for camera, thresholds in cameras.items():
        if changes := quality_thresholds.changes(thresholds):
            changes_by_camera[camera] = changes
    if not changes_by_camera:
        return QUALITY_GATE
    canonical = orjson.dumps(changes_by_camera, option=orjson.OPT_SORT_KEYS)
    return f"{QUALITY_GATE}+{hashlib.sha256(canonical).hexdigest()[:8]}"


def _is_montage(measures: Mapping[str, float]) -> bool:
    return (
        measures["waist"] < _WAIST
        and measures["disc_share"] >= _DISC_SHARE[0]
        and measures["dark_corners"] >= _DARK_CORNERS
    )


def _is_disc(measures: Mapping[str, float]) -> bool:
    min_share, min_fill = _PART_SHARE, _PART_FILL
    if measures["field"] >= _WHOLE_FIELD:
        min_share, min_fill = _DISC_SHARE[0], _BOX_FILL[0]
    return (
        min_share <= measures["disc_share"] <= _DISC_SHARE[1]
        and measures["dark_corners"] >= _DARK_CORNERS
        and min_fill <= measures["box_fill"] <= _BOX_FILL[1]
        and measures["core_fill"] >= _CORE_FILL
    )


def is_mislabelled(rgb: Pixels) -> bool:
    """Return whether an image would be a retina if it were read in another colour space.

    YCbCr read as RGB and BGR read as RGB are converted back and measured again. RGB read as YCbCr
    cannot be converted back, because values were clipped; it is recognised by its pure green, which
    covers even the black surround.
    """
    step = max(1, min(rgb.shape[:2]) // _SAMPLED_SIDE)
    sample = np.ascontiguousarray(rgb[::step, ::step])
    red, green, blue = np.moveaxis(sample.astype(np.int16), 2, 0)
    if float((green - np.maximum(red, blue) > 50).mean()) > 0.6:  # noqa: PLR2004
        return True
    height, width = sample.shape[:2]
    from_ycc = ycc_to_rgb(width, height, sample.tobytes())
    return _is_colour_retina(from_ycc) or _is_colour_retina(sample[..., ::-1])


def _is_colour_retina(rgb: Pixels) -> bool:
    return recognise(measure(rgb)) not in {Reason.NOT_RETINA, Reason.REDFREE_OR_FA}

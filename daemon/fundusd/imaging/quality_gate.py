"""The quality gate, which decides whether an image is a colour retina that can be graded."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import numpy as np
import orjson

from fundusd.clinical import quality_thresholds
from fundusd.clinical.quality_thresholds import DEFAULTS, Thresholds
from fundusd.domain.clinical_terms import Reason
from fundusd.imaging import field
from fundusd.imaging.captions import between_strips, without_marks
from fundusd.imaging.colour import ycc_to_rgb
from fundusd.imaging.optic_disc import measure_optic_disc
from fundusd.imaging.sharpness import NO_DETAIL, measure_blocks, measure_detail

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy.typing as npt

    from fundusd.domain.decoding import Pixels

QUALITY_GATE = "retina-colour/4"

# Measured on the photographs of docs/quality.md; the thresholds that differ between cameras are in
# fundusd.clinical.quality_thresholds
_MIN_BLACK_SIDE = 448  # pixels: a smaller black image is not a photograph whose flash failed
_SAMPLED_SIDE = 192  # pixels of the subsampled image in which the field is located
_MIN_JUDGED = 25.0  # luminance: what a darker picture shows cannot be recognised
_MIN_SHARE, _MIN_BOX_FILL, _MIN_CORE_FILL = 0.08, 0.45, 0.6  # of the frame, its box and its middle
_MONTAGE_SHARE, _WAIST = 0.30, 0.6  # least share of the frame, and width between two fields
_DARK_CORNERS = 0.75  # of the four corners: some cameras print a mark or a date into one
_FILLED = 0.5  # dark corners: with fewer, the field fills the frame
_ROUND = 0.97  # least roundness of a disc
_MAX_BLUE = 1.35  # blue / red; the palest haze over a retina has 1.27
_MAX_DIFFERENCE = 0.03  # of red, between channels: grey
_TONED = (0.05, 0.85, 0.2)  # least texture and red relief, most colour relief of a toned grey image
_GREY_RELIEF = 0.3  # most colour relief of a grey image
_HAIR = (0.3, 0.85)  # texture and red relief of a disc: more of both are hair or skin, not vessels
_ROUGH = 0.022  # with a relief in red: more is an outer eye
_ROUGH_RED = (0.5, 0.43)  # red relief, with and without dark corners
_VERY_ROUGH = 0.06  # with any colour
_SKIN = (0.65, 0.5)  # red relief and haze: no retina that fills the frame has more of both
_MIN_VESSELS = 0.06  # visibility in a field without corners
_ONE_COLOUR = (0.005, 0.05)  # colour range: of one colour, and at most of one in uneven light
_SHADING = (0.06, 0.15)  # colour range over light range, without and with visible vessels
_SOME_VESSELS = 0.1  # visibility
_OVEREXPOSED = 190.0  # luminance: in a lighter picture, clipping evens out the colours


def measure(rgb: Pixels) -> dict[str, float]:
    """Return the quality measures of an RGB image [height, width, 3], by name.

    Shares are from 0 to 1, and levels from 0 to 255.
    """
    rgb, sample, step = _sampled(rgb)
    lit = without_marks(field.find_lit(sample))
    mean = _mean_colour(sample, lit)
    box = field.bounding_box(lit)
    measures = {
        "side_pixels": float(min(rgb.shape[:2])),
        **field.measure_field(sample, lit, box),
        "red": float(mean[0]),
        "green": float(mean[1]),
        "blue": float(mean[2]),
        "luminance": float(field.luminance_of(mean)),
        "blocks": measure_blocks(rgb),
        **_detail(rgb, box, step),
        **measure_optic_disc(sample, lit, box),
    }
    # rounded, the same on any CPU; some are numbers of numpy, which JSON cannot hold
    return {name: round(float(value), 4) for name, value in measures.items()}


def _sampled(rgb: Pixels) -> tuple[Pixels, Pixels, int]:
    """Return the image between strips, a subsampled copy of it, and every how many pixels."""
    step = max(1, min(rgb.shape[:2]) // _SAMPLED_SIDE)
    sample = field.subsample(rgb, step)
    inner = between_strips(sample)
    sides: list[slice] = []
    for side, whole, length in zip(inner, sample.shape, rgb.shape[:2], strict=False):
        stop = length if side.stop == whole else (side.stop - 1) * step + 1
        sides.append(slice(side.start * step, stop))
    return rgb[sides[0], sides[1]], sample[inner], step


def _mean_colour(sample: Pixels, lit: npt.NDArray[np.bool_]) -> npt.NDArray[np.float64]:
    """Return the mean of each channel over the lit pixels, or over all pixels if nothing is lit."""
    counted = lit if lit.any() else np.ones_like(lit)
    sums = [(sample[..., channel] * counted).sum(dtype=np.uint64) for channel in range(3)]
    return np.array(sums) / np.count_nonzero(counted)


def _detail(rgb: Pixels, box: tuple[slice, slice], step: int) -> dict[str, float]:
    if not box[0].stop:
        return NO_DETAIL
    rows = slice(box[0].start * step, box[0].stop * step)
    columns = slice(box[1].start * step, box[1].stop * step)
    return measure_detail(rgb, (rows, columns))


def gate(measures: Mapping[str, float], thresholds: Thresholds = DEFAULTS) -> Reason | None:
    """Return the reason why the image cannot be graded, or None for a gradable colour retina."""
    return recognise(measures) or quality_thresholds.judge(measures, thresholds)


def recognise(measures: Mapping[str, float]) -> Reason | None:
    """Return the reason why the image is not a single colour retina, or None if it may be one.

    The criteria are the same for every camera. What is too dark to be recognised may be a retina.
    """
    if _is_montage(measures):
        return Reason.MONTAGE
    is_dark = measures["luminance"] < _MIN_JUDGED or quality_thresholds.is_noisy(measures)
    if is_dark and measures["side_pixels"] >= _MIN_BLACK_SIDE:
        return Reason.TOO_DARK  # perhaps the flash did not fire
    if not _has_body(measures) or measures["blue"] > _MAX_BLUE * measures["red"]:
        return Reason.NOT_RETINA
    is_disc = measures["dark_corners"] >= _DARK_CORNERS and measures["roundness"] >= _ROUND
    if is_disc and _is_colourless(measures):
        return Reason.REDFREE_OR_FA
    if _shows_something_else(measures, is_disc=is_disc):
        return Reason.NOT_RETINA
    if _is_colourless(measures):
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
        and measures["disc_share"] >= _MONTAGE_SHARE
        and measures["dark_corners"] >= _DARK_CORNERS
    )


def _has_body(measures: Mapping[str, float]) -> bool:
    """Return whether the lit area is one compact field without a hole in its middle."""
    return (
        measures["disc_share"] >= _MIN_SHARE
        and measures["box_fill"] >= _MIN_BOX_FILL
        and measures["core_fill"] >= _MIN_CORE_FILL
    )


def _is_colourless(measures: Mapping[str, float]) -> bool:
    """Return whether the image is grey, or a grey image that was toned in one colour."""
    red = measures["red"]
    differences = (abs(red - measures["blue"]), abs(red - measures["green"]))
    if max(differences) < _MAX_DIFFERENCE * red and measures["colour_relief"] < _GREY_RELIEF:
        return True
    return (
        measures["texture"] > _TONED[0]
        and measures["red_relief"] > _TONED[1]
        and measures["colour_relief"] < _TONED[2]
    )


def _has_one_colour(measures: Mapping[str, float]) -> bool:
    """Return whether the field is of one material: its light varies, but its colour does not.

    Haze over a retina makes both vary less. The ratio of the two is compared, so that even a dense
    cataract does not look like paper.
    """
    if measures["luminance"] > _OVEREXPOSED:
        return False
    colour, light = measures["colour_range"], measures["light_range"]
    shading = _SHADING[measures["visibility"] > _SOME_VESSELS]
    return colour < _ONE_COLOUR[0] or (colour < _ONE_COLOUR[1] and colour < shading * light)


def _shows_something_else(measures: Mapping[str, float], *, is_disc: bool) -> bool:
    """Return whether the field has one colour, or structures of skin, hair or an outer eye."""
    if is_disc and quality_thresholds.shows_blocks(measures):
        return False  # the blocks of a strong compression hide what the structures are
    if _has_one_colour(measures):
        return True
    if is_disc:
        return measures["texture"] > _HAIR[0] and measures["red_relief"] > _HAIR[1]
    return _is_outer_eye_or_skin(measures)


def _is_outer_eye_or_skin(measures: Mapping[str, float]) -> bool:
    """Return whether a field that is not a disc in a dark frame lacks evidence of a retina."""
    red_relief = measures["red_relief"]
    has_corners = measures["dark_corners"] >= _DARK_CORNERS
    has_red_relief = red_relief > (_ROUGH_RED[0] if has_corners else _ROUGH_RED[1])
    if measures["roughness"] > _VERY_ROUGH or (measures["roughness"] > _ROUGH and has_red_relief):
        return True
    if measures["dark_corners"] >= _FILLED:
        return False
    is_skin = red_relief > _SKIN[0] and measures["haze"] > _SKIN[1]
    return is_skin or measures["visibility"] < _MIN_VESSELS


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

"""Decode a capture to pixels ready for the model, or determine why it cannot be graded.

This code runs inside a decoder process.
"""

from __future__ import annotations

from dataclasses import replace
from time import perf_counter
from typing import TYPE_CHECKING

from fundusd.clinical.quality_thresholds import DEFAULTS, Thresholds
from fundusd.domain.capture_warnings import CaptureWarning
from fundusd.domain.clinical_terms import Outcome, Reason
from fundusd.domain.decoding import Content, Decoded, MediaType
from fundusd.domain.errors import CaptureError
from fundusd.files.media_type import detect
from fundusd.imaging import quality_gate
from fundusd.imaging.burned_in_text import has_text_in_surround
from fundusd.imaging.dicom import open_dicom
from fundusd.imaging.preprocessing import preprocess
from fundusd.imaging.raster import open_raster

if TYPE_CHECKING:
    from fundusd.domain.decoding import Pixels, Preprocessing
    from fundusd.imaging.limits import Limits
    from fundusd.imaging.opened_image import OpenedImage

_SIGNATURE = 16  # bytes that tell one format from another


def decode(
    data: bytes,
    preprocessing: Preprocessing,
    side: int,
    limits: Limits,
    thresholds: Thresholds = DEFAULTS,
    *,
    shows_ungradable: bool = False,
) -> Decoded:
    """Decode, check and preprocess one capture.

    Invalid bytes yield a reason and never raise an exception. If `shows_ungradable` is true, the
    pixels of an ungradable retina are returned too, for display.
    """
    started = perf_counter()
    media = detect(lambda size, offset: data[offset : offset + size])
    content = Content(media) if isinstance(media, MediaType) else None
    pixels = None
    try:
        opened = _open(data, media, limits)
        content, reason, rgb = opened.content, opened.reason, None
        if reason is None:
            rgb, codes = opened.load()
            content, reason = _assess(content, rgb, codes, thresholds)
        is_shown = reason is None or (shows_ungradable and reason.outcome is Outcome.UNGRADABLE)
        if rgb is not None and is_shown:
            pixels = preprocess(rgb, preprocessing, side)
    except CaptureError as error:
        reason = error.reason
    except MemoryError:
        reason = Reason.OUT_OF_MEMORY
    except Exception:  # noqa: BLE001  Pillow, pydicom and the codecs may raise anything
        reason = Reason.DECODE_ERROR
    return Decoded(content, reason, pixels, (perf_counter() - started) * 1000)


def _open(data: bytes, media: object, limits: Limits) -> OpenedImage:
    if len(data) > limits.max_bytes:
        raise CaptureError(Reason.TOO_MANY_BYTES)
    if not isinstance(media, MediaType):
        # a copy that was interrupted may have its full size, but no content yet
        is_cut = bool(data) and not any(data[:_SIGNATURE])
        raise CaptureError(Reason.TRUNCATED if is_cut else Reason.UNKNOWN_FORMAT)
    if media is MediaType.DICOM:
        return open_dicom(data, limits)
    return open_raster(data, media, limits)


def _assess(
    content: Content, rgb: Pixels, codes: tuple[str, ...], thresholds: Thresholds
) -> tuple[Content, Reason | None]:
    """Return the completed content, and the reason to refuse the capture, if there is one.

    The content is completed with the size, the warning codes and the measures.
    """
    measures = quality_gate.measure(rgb)
    reason = quality_gate.gate(measures, thresholds)
    # A file can declare the wrong colour space only if its format declares one
    names_colour_space = content.media_type in {MediaType.DICOM, MediaType.TIFF}
    if (
        names_colour_space
        and reason in {Reason.NOT_RETINA, Reason.REDFREE_OR_FA}
        and quality_gate.is_mislabelled(rgb)
    ):
        reason = Reason.COLOUR_MISMATCH
    height, width = rgb.shape[:2]
    warnings = (*content.warnings, *codes)
    if (reason is None or reason.outcome is Outcome.UNGRADABLE) and has_text_in_surround(rgb):
        warnings = (*warnings, CaptureWarning.TEXT_IN_SURROUND)
    completed = replace(content, width=width, height=height, warnings=warnings, measures=measures)
    return completed, reason

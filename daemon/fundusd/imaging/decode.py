"""Bytes to pixels ready for the model, or the reason why not: what runs inside a decoder process."""

from __future__ import annotations

from dataclasses import replace
from time import perf_counter
from typing import TYPE_CHECKING

from fundusd.clinical.quality_thresholds import DEFAULTS, Thresholds
from fundusd.domain.clinical_terms import Outcome, Reason
from fundusd.domain.decoding import Content, Decoded, MediaType
from fundusd.domain.errors import CaptureError
from fundusd.files.media_type import sniff
from fundusd.imaging import quality_gate
from fundusd.imaging.dicom import open_dicom
from fundusd.imaging.limits import Limits
from fundusd.imaging.preprocessing import preprocess
from fundusd.imaging.raster import open_raster

if TYPE_CHECKING:
    from fundusd.domain.decoding import Pixels, Preprocessing
    from fundusd.imaging.opened_image import Opened

__all__ = ["Limits", "decode"]


def decode(
    data: bytes,
    how: Preprocessing,
    side: int,
    limits: Limits,
    thresholds: Thresholds = DEFAULTS,
    *,
    shows_ungradable: bool = False,
) -> Decoded:
    """Decode, judge and preprocess one capture; never raises for bad bytes.

    `shows_ungradable`: give the pixels of an ungradable retina too, for people to look at.
    """
    started = perf_counter()
    media = sniff(data)
    content = Content(media) if isinstance(media, MediaType) else None
    pixels = None
    try:
        opened = _open(data, media, limits)
        content, reason, rgb = opened.content, opened.reason, None
        if reason is None:
            rgb, codes = opened.load()
            content, reason = _judge(content, rgb, codes, thresholds)
        is_shown = reason is None or (shows_ungradable and reason.outcome is Outcome.UNGRADABLE)
        if rgb is not None and is_shown:
            pixels = preprocess(rgb, how, side)
    except CaptureError as error:
        reason = error.reason
    except MemoryError:
        reason = Reason.OUT_OF_MEMORY
    except Exception:  # noqa: BLE001  the per-capture boundary: Pillow, pydicom and codecs raise anything
        reason = Reason.DECODE_ERROR
    return Decoded(content, reason, pixels, (perf_counter() - started) * 1000)


def _open(data: bytes, media: object, limits: Limits) -> Opened:
    if len(data) > limits.max_bytes:
        raise CaptureError(Reason.TOO_MANY_BYTES)
    if not isinstance(media, MediaType):
        raise CaptureError(Reason.UNKNOWN_FORMAT)
    return (
        open_dicom(data, limits) if media is MediaType.DICOM else open_raster(data, media, limits)
    )


def _judge(
    content: Content, rgb: Pixels, codes: tuple[str, ...], thresholds: Thresholds
) -> tuple[Content, Reason | None]:
    """Measure the pixels and complete what is known of the capture."""
    measures = quality_gate.measure(rgb)
    reason = quality_gate.gate(measures, thresholds)
    labelled = content.media_type is MediaType.DICOM  # elsewhere nothing names the colour space
    if (
        labelled
        and reason in {Reason.NOT_RETINA, Reason.REDFREE_OR_FA}
        and quality_gate.is_mislabelled(rgb)
    ):
        reason = Reason.COLOUR_MISMATCH
    height, width = rgb.shape[:2]
    warnings = (*content.warnings, *codes)
    return replace(
        content, width=width, height=height, warnings=warnings, measures=measures
    ), reason

"""Photographs for pages, decoded from the camera's files.

A photograph that cannot be shown is replaced by a sentence that says why.
"""

from __future__ import annotations

import hashlib
from contextlib import ExitStack
from typing import TYPE_CHECKING

from fundusd.domain.capture_warnings import TEXT_WARNINGS
from fundusd.domain.clinical_terms import Reason
from fundusd.domain.decoding import Preprocessing
from fundusd.domain.errors import CaptureError
from fundusd.files.safe_read import read_capture
from fundusd.imaging.decoder_pool import DecoderPool
from fundusd.reports import wording
from fundusd.reports.panel import Photograph

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from fundusd.domain.decoding import Decoded
    from fundusd.imaging.limits import Limits
    from fundusd.ledger import Source

    Decode = Callable[[bytes, Preprocessing], Decoded]

_SIDE = 448  # pixels: the size that every preprocessing produces
_BLOCKED = "Not shown: text is burned into the picture, perhaps a name."
_SEEN = f"As the model saw it, {_SIDE} by {_SIDE} pixels. Not for diagnosis."
_NOT_SEEN = f"Reduced to {_SIDE} by {_SIDE} pixels; the model did not grade it. Not for diagnosis."
_WHY_NOT = {
    Reason.FILE_MISSING: "Not shown: the file is no longer in the camera's folder.",
    Reason.FILE_CHANGED: "Not shown: a different file has this name now.",
    Reason.FILE_UNREADABLE: "Not shown: the file cannot be read.",
}


def photographs(
    sources: Sequence[Source], roots: Mapping[str, Path], limits: Limits
) -> dict[int, Photograph]:
    """Return the photographs of captures, keyed by the number of the capture.

    `roots` are the inboxes, keyed by camera.
    """
    with ExitStack() as stack:
        pools: dict[Preprocessing, DecoderPool] = {}

        def decode(data: bytes, preprocessing: Preprocessing) -> Decoded:
            if preprocessing not in pools:
                pool = DecoderPool(1, preprocessing, _SIDE, limits, shows_ungradable=True)
                pools[preprocessing] = stack.enter_context(pool)
            return pools[preprocessing].decode(data)

        shown = {}
        for source in sources:
            shown[source.capture_id] = _photograph(source, roots, limits.max_bytes, decode)
        return shown


def _photograph(
    source: Source, roots: Mapping[str, Path], max_bytes: int, decode: Decode
) -> Photograph:
    if source.is_burned_in:
        return Photograph(None, _BLOCKED)
    root = roots.get(source.camera_id)
    if root is None:
        return Photograph(
            None,
            f"Not shown: the settings have no camera {source.camera_id}, so its folder is unknown.",
        )
    try:
        data = read_capture(root, source.path, max_bytes)
    except CaptureError as error:
        return Photograph(None, _not_shown(error.reason))
    if hashlib.sha256(data).hexdigest() != source.digest:
        return Photograph(None, _not_shown(Reason.FILE_CHANGED))
    return _shown(decode(data, Preprocessing(source.preprocessing)))


def _shown(decoded: Decoded) -> Photograph:
    if decoded.content and not TEXT_WARNINGS.isdisjoint(decoded.content.warnings):
        return Photograph(None, _BLOCKED)
    if decoded.pixels is None:
        return Photograph(None, _not_shown(decoded.reason or Reason.DECODE_ERROR))
    if decoded.reason is not None:
        return Photograph(decoded.pixels, _NOT_SEEN)
    return Photograph(decoded.pixels, _SEEN)


def _not_shown(reason: Reason) -> str:
    return _WHY_NOT.get(reason) or f"Not shown: {wording.reason(reason)}."

"""Time the steps from a photograph's bytes to the model's input square."""

from __future__ import annotations

from functools import partial
from io import BytesIO
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from fundusd.domain.clinical_terms import Eye, Grade
from fundusd.domain.decoding import MediaType, Preprocessing
from fundusd.imaging import jpeg_decode, jpeg_markers, quality_gate
from fundusd.imaging.decode import decode
from fundusd.imaging.decoder_pool import DecoderPool
from fundusd.imaging.limits import Limits
from fundusd.imaging.phantoms import render
from fundusd.imaging.preprocessing import preprocess
from fundusd.imaging.raster import open_raster
from fundusd_bench.figures import Figure, Goal, interleave, milliseconds, of_rounds, ratios

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import numpy.typing as npt

    from fundusd.domain.decoding import Pixels

SIDE = 448
DEFAULT = Preprocessing.PAD_SQUARE
_SECTION = "decode"
_LIMITS = Limits()
_REFERENCE, _PILLOW, _STRICT = (
    "the reference's preprocessing",
    "decode by Pillow",
    "decode strictly",
)
_QUALITY, _ALL, _SANDBOX = (
    "quality measures",
    "decode, judge and preprocess",
    "the same in a decoder process",
)
_GOAL = Goal(2.5, at_least=True)


def measure(
    rounds: int, on_step: Callable[[str], None], size: tuple[int, int] = (4096, 3072)
) -> list[Figure]:
    """Time each preprocessing and its parts on a phantom of `size` (width, height), interleaved."""
    on_step("rendering a photograph")
    data = photograph(*size)
    on_step("decoding and preprocessing it")
    with DecoderPool(1, DEFAULT, SIDE, _LIMITS) as pool:
        cases = _cases(data) | {_SANDBOX: partial(pool.decode, data)}
        for case in cases.values():
            case()
        seconds = interleave(cases, rounds)
    note = f"{size[0]} x {size[1]} JPEG, {len(data) / 1e6:.1f} MB, one thread"
    figures = []
    for name, durations in seconds.items():
        figures.append(of_rounds(_SECTION, name, "ms", milliseconds(durations), note=note))
    return figures + _comparisons(seconds)


def photograph(width: int, height: int) -> bytes:
    """Return a phantom encoded as cameras do: JPEG at high quality, 4:2:0."""
    file = BytesIO()
    Image.fromarray(render(Grade.MODERATE, Eye.LEFT, 5, width, height)).save(
        file, "JPEG", quality=92, subsampling="4:2:0"
    )
    return file.getvalue()


def _cases(data: bytes) -> dict[str, Callable[[], object]]:
    stream = jpeg_markers.read_markers(data)
    rgb = jpeg_decode.decode(data, stream)
    return {
        _REFERENCE: partial(reference, data),
        **{str(how): partial(ours, data, how) for how in Preprocessing},
        _PILLOW: lambda: Image.open(BytesIO(data)).load(),
        _STRICT: lambda: jpeg_decode.decode(data, jpeg_markers.read_markers(data)),
        _QUALITY: partial(quality_gate.measure, rgb),
        _ALL: partial(decode, data, DEFAULT, SIDE, _LIMITS),
    }


def reference(data: bytes) -> npt.NDArray[np.float32]:
    """Preprocess as the reference example does: crop the centre square, resize, make a tensor.

    The work of its image processor on a square of the right size is written out: rescale to 0..1,
    normalise to -1..1, channels first.
    """
    picture = Image.open(BytesIO(data)).convert("RGB")
    width, height = picture.size
    square = min(width, height)
    left, top = (width - square) // 2, (height - square) // 2
    cropped = picture.crop((left, top, left + square, top + square))
    resized = np.asarray(cropped.resize((SIDE, SIDE), Image.Resampling.BILINEAR))
    scaled = (resized.astype(np.float32) / 255 - 0.5) / 0.5
    return np.ascontiguousarray(scaled.transpose(2, 0, 1)[None], np.float32)


def ours(data: bytes, how: Preprocessing) -> Pixels:
    """Preprocess as a decoder process does, without measuring the quality."""
    rgb, _ = open_raster(data, MediaType.JPEG, _LIMITS).load()
    return preprocess(rgb, how, SIDE)


def _comparisons(seconds: Mapping[str, list[float]]) -> list[Figure]:
    pairs = [(_REFERENCE, str(preprocessing)) for preprocessing in Preprocessing]
    pairs += [(_REFERENCE, _ALL), (_PILLOW, _STRICT)]
    figures = []
    for slow, fast in pairs:
        goal = _GOAL if fast == str(DEFAULT) else None
        quotients = ratios(seconds[slow], seconds[fast])
        figures.append(of_rounds(_SECTION, f"{slow} / {fast}", "x", quotients, goal=goal))
    return figures

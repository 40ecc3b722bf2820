"""The vision tower on OpenVINO: the fastest way on a CPU, without torch in the process."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import openvino

from fundusd.domain.errors import ModelError
from fundusd.model import prepared_parts

if TYPE_CHECKING:
    from collections.abc import Callable

    from fundusd.domain.decoding import Pixels
    from fundusd.domain.inference import Embeddings
    from fundusd.model.device import Runtime
    from fundusd.model.prepared_parts import Part

_PRECISION = {"float32": "f32", "bfloat16": "bf16"}


class OpenVinoBackend:
    """Embed pictures with OpenVINO, one at a time: on a CPU batches buy nothing. Raises ModelError."""

    limit = 1
    overlaps = False
    probes = False  # its graph has a fixed size

    def __init__(self, part: Part, runtime: Runtime, _limit: int) -> None:
        shape = part.facts["shape"]
        self._patch: int = shape["patch"]
        core = openvino.Core()
        settings = {
            "INFERENCE_PRECISION_HINT": _PRECISION[runtime.dtype],
            "PERFORMANCE_HINT": "LATENCY",
            "CACHE_DIR": str(prepared_parts.folder() / "openvino"),
        }
        self._compiled = core.compile_model(part.path("tower.xml"), "CPU", settings)
        precision = self._compiled.get_property("INFERENCE_PRECISION_HINT").get_type_name()
        if (
            precision != _PRECISION[runtime.dtype]
        ):  # it takes another without a word, and the release would lie
            raise ModelError(
                f"OpenVINO does not compute in {runtime.dtype} on this processor, but in {precision}",
                hint="set model.dtype to auto or float32",
            )

    def embed(self, pixels: Pixels) -> Embeddings:
        """Turn uint8 [b, side, side, 3] into pooled embeddings, fp32 [b, d]."""
        answers = [self._compiled(to_patches(one[None], self._patch))[0] for one in pixels]
        return np.concatenate(answers)

    def begin(self, pixels: Pixels) -> Callable[[], Embeddings]:
        """Promise to embed: there is nothing to overlap on one processor."""
        return partial(self.embed, pixels)

    def probe(self, pixels: Pixels) -> Embeddings:
        """Raise: never asked for, since `probes` is false."""
        raise NotImplementedError


def to_patches(pixels: Pixels, patch: int) -> Embeddings:
    """Cut and normalise as `tower.to_patches` does, without torch."""
    batch, side = pixels.shape[:2]
    grid = side // patch
    cut = pixels.reshape(batch, grid, patch, grid, patch, 3).swapaxes(2, 3)
    return cut.reshape(batch, grid * grid, 3 * patch * patch).astype(np.float32) / np.float32(
        127.5
    ) - np.float32(1)

"""Run the vision tower on OpenVINO, the fastest backend on a CPU, without importing torch."""

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
    """Embed images with OpenVINO, one at a time, since batching has no benefit on a CPU."""

    limit = 1
    overlaps = False
    can_probe = False  # its graph has a fixed input size

    def __init__(self, part: Part, runtime: Runtime, _limit: int) -> None:
        shape = part.facts["shape"]
        self._patch: int = shape["patch"]
        core = openvino.Core()
        # One cache per dtype: OpenVINO 2026.4 does not distinguish them and would load a graph that
        # it compiled for float32 with bfloat16, which computes NaN
        cache = prepared_parts.cache_folder() / "openvino" / runtime.dtype
        settings = {
            "INFERENCE_PRECISION_HINT": _PRECISION[runtime.dtype],
            "PERFORMANCE_HINT": "LATENCY",
            "CACHE_DIR": str(cache),
        }
        self._compiled = core.compile_model(part.path("tower.xml"), "CPU", settings)
        precision = self._compiled.get_property("INFERENCE_PRECISION_HINT").get_type_name()
        # OpenVINO may silently use another precision, which would make the release wrong
        if precision != _PRECISION[runtime.dtype]:
            raise ModelError(
                f"OpenVINO computes in {precision} on this processor, not in {runtime.dtype}.",
                hint="Set model.dtype to auto or float32.",
            )

    def embed(self, pixels: Pixels) -> Embeddings:
        """Return the pooled embeddings, fp32 [b, d], of uint8 images [b, side, side, 3]."""
        embeddings = []
        for image in pixels:
            patches = to_patches(image[None], self._patch)
            embeddings.append(self._compiled(patches)[0])
        return np.concatenate(embeddings)

    def begin(self, pixels: Pixels) -> Callable[[], Embeddings]:
        """Return a function that computes the embeddings when called.

        Nothing is computed in advance, since nothing overlaps on a CPU.
        """
        return partial(self.embed, pixels)

    def probe(self, pixels: Pixels) -> Embeddings:
        """Raise NotImplementedError.

        This method is never called, since `can_probe` is false.
        """
        raise NotImplementedError


def to_patches(pixels: Pixels, patch: int) -> Embeddings:
    """Return normalised patches, as `vision_tower.to_patches` does, without torch."""
    batch, side = pixels.shape[:2]
    grid = side // patch
    cut = pixels.reshape(batch, grid, patch, grid, patch, 3).swapaxes(2, 3)
    patches = cut.reshape(batch, grid * grid, 3 * patch * patch).astype(np.float32)
    return patches / np.float32(127.5) - np.float32(1)

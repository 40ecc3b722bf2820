"""Count the floating-point operations of a forward; a multiplication and an addition are two."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch.utils.flop_counter import FlopCounterMode

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fundusd.domain.decoding import Pixels
    from fundusd.domain.inference import Classifier
    from fundusd.model.vision_tower import Shape

_ATTENTION_ON_CPU = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu


def count(classifier: Classifier, pixels: Pixels) -> int:
    """Return the operations that torch executes while it classifies; 0 for other backends."""
    with FlopCounterMode(display=False, custom_mapping={_ATTENTION_ON_CPU: _attention}) as counter:
        classifier.logits(pixels)
    return int(counter.get_total_flops())


def of_tower(shape: Shape) -> int:
    """Return the operations of the matrix products for one image, by the sizes of the tower."""
    tokens, width, hidden = shape.patches, shape.width, shape.hidden
    layer = tokens * (4 * width * width + 2 * width * hidden) + 2 * tokens * tokens * width
    pool = tokens * 2 * width * width + 2 * tokens * width + width * width + 2 * width * hidden
    return 2 * (tokens * 3 * shape.patch**2 * width + shape.layers * layer + pool)


def _attention(
    query: Sequence[int], key: Sequence[int], value: Sequence[int], *_: Any, **__: Any
) -> int:
    """Return the operations of an attention, from shapes of [batch, heads, rows, width] each."""
    batch, heads, rows, width = query
    return 2 * batch * heads * rows * key[2] * (width + value[3])

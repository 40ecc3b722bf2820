"""Count the floating-point operations of a forward; a multiplication and an addition are two."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch.utils.flop_counter import FlopCounterMode

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fundusd.domain.decoding import Pixels
    from fundusd.domain.inference import Classifier

_ATTENTION_ON_CPU = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu


def count(classifier: Classifier, pixels: Pixels) -> int:
    """Count what torch does while it classifies; 0 for a backend that is not torch's."""
    with FlopCounterMode(display=False, custom_mapping={_ATTENTION_ON_CPU: _attention}) as counter:
        classifier.logits(pixels)
    return int(counter.get_total_flops())


def _attention(
    query: Sequence[int], key: Sequence[int], value: Sequence[int], *_: Any, **__: Any
) -> int:
    """Count an attention by the shapes of its arguments, [batch, heads, rows, width] each."""
    batch, heads, rows, width = query
    return 2 * batch * heads * rows * key[2] * (width + value[3])

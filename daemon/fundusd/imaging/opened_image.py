"""A capture whose header is read and whose pixels are not decoded yet."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from fundusd.domain.clinical_terms import Reason
    from fundusd.domain.decoding import Content, Pixels


@dataclass(frozen=True, slots=True)
class Opened:
    """What the header says, why that already suffices to refuse, and the way to the pixels.

    `load` returns RGB [height, width, 3] in sRGB and warning codes; raises CaptureError.
    """

    content: Content
    reason: Reason | None
    load: Callable[[], tuple[Pixels, tuple[str, ...]]]

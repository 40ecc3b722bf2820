"""A capture whose header has been read and whose pixels have not been decoded yet."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from fundusd.domain.clinical_terms import Reason
    from fundusd.domain.decoding import Content, Pixels


@dataclass(frozen=True, slots=True)
class OpenedImage:
    """A capture's header data, and `load`, which decodes its pixels.

    `reason` says why the header rules out grading the capture, or is None. `load` returns sRGB
    [height, width, 3] and warning codes. It raises CaptureError if the pixels cannot be decoded.
    """

    content: Content
    reason: Reason | None
    load: Callable[[], tuple[Pixels, tuple[str, ...]]]

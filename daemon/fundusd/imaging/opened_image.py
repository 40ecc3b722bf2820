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
    """The content of a header, the reason, if any, to refuse the capture, and the pixel loader.

    `load` returns RGB [height, width, 3] in sRGB, and warning codes; it raises CaptureError.
    """

    content: Content
    reason: Reason | None
    load: Callable[[], tuple[Pixels, tuple[str, ...]]]

"""Models are prepared in the test process, except where a test asks for its own."""

from __future__ import annotations

from tests.preparing import own_process, prepare_here

__all__ = ["own_process", "prepare_here"]

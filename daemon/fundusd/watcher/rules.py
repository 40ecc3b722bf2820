"""The rules the watcher works by."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class IntakeRules:
    """How captures are found and when they count as settled."""

    quiet_seconds: float = 2.0
    sweep_seconds: float = 30.0
    mode: Literal["auto", "native", "sweep-only"] = "auto"
    backlog: Literal["newest-first", "baseline"] = "newest-first"
    grace_seconds: float = 600.0  # how long a file that is not complete may stay as it is

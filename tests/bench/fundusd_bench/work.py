"""What a measurement is given."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from fundusd_bench.machine import Machine


@dataclass(frozen=True, slots=True)
class Order:
    """What the user wants measured, and how much of it."""

    sections: tuple[str, ...]
    rounds: int = 5
    reference: bool = False  # the reference example too, side by side
    captures: Path | None = None  # photographs for the drift, instead of phantoms
    backlog: int = 100  # captures
    latency: int = 30
    growth: int = 10_000
    sweep: int = 1_000_000  # files


@dataclass(frozen=True, slots=True)
class Work:
    """An order, the checkpoint and machine to do it with, and where there is room for it."""

    order: Order
    folder: Path  # to work in
    checkpoint: Path
    machine: Machine

    @property
    def cpu_dtype(self) -> str:
        """Return the dtype that is fastest on this CPU."""
        return "bfloat16" if self.machine.has_fast_bfloat16 else "float32"

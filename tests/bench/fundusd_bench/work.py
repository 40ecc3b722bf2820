"""The input of a measurement."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from fundusd_bench.machine import Machine


@dataclass(frozen=True, slots=True)
class Options:
    """Which sections to run, and the size of each."""

    sections: tuple[str, ...]
    rounds: int = 5
    reference: bool = False  # run the reference example as well
    captures: Path | None = None  # photographs for the drift; None: phantoms
    backlog: int = 100  # captures
    latency: int = 30
    growth: int = 10_000
    sweep: int = 1_000_000  # files


@dataclass(frozen=True, slots=True)
class Work:
    """The options, and the checkpoint, machine and folder to measure with."""

    options: Options
    folder: Path  # for inboxes, settings and databases
    checkpoint: Path
    machine: Machine

    @property
    def cpu_dtype(self) -> str:
        """Return the dtype that is fastest on this CPU."""
        return "bfloat16" if self.machine.has_fast_bfloat16 else "float32"

"""The sections of the benchmark: what each measures, how long it takes, and its module."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from fundusd_bench.figures import Figure
    from fundusd_bench.work import Options, Work


def _whole(work: Work) -> tuple[Any, ...]:
    return (work,)


def _new(work: Work, name: str) -> Path:
    folder = work.folder / name
    folder.mkdir()
    return folder


@dataclass(frozen=True, slots=True)
class Section:
    """A section; its module's function `measure` takes `arguments` and a callback for each step."""

    name: str
    about: str
    # for the progress bar; measured on two cores of a server with avx512_bf16
    seconds: Callable[[Options], float]
    arguments: Callable[[Work], tuple[Any, ...]] = _whole
    needs_checkpoint: bool = False

    def measure(self, work: Work, on_step: Callable[[str], None]) -> list[Figure]:
        """Run the section; raises FundusdError."""
        figures: list[Figure] = import_module(f"fundusd_bench.{self.name}").measure(
            *self.arguments(work), on_step
        )
        return figures


_ALL = (
    Section(
        "decode",
        "JPEG to the model's square",
        lambda options: 10.0 * options.rounds,
        lambda work: (work.options.rounds,),
    ),
    Section("ledger", "admit, claim, record", lambda _: 90.0, lambda work: (_new(work, "ledger"),)),
    Section(
        "sweep",
        "a large inbox",
        lambda options: 5.0 + options.sweep / 4000,
        lambda work: (_new(work, "sweep"), work.options.sweep),
    ),
    # 40 captures by three variants for the drift, then each variant beside the reference, 7 s
    Section(
        "model",
        "JPEG to scores, drift, operations",
        lambda options: 420.0 + options.rounds * (12.0 + 28.0 * options.reference),
        needs_checkpoint=True,
    ),
    Section(
        "backlog", "throughput", lambda options: 30.0 + 3.3 * options.backlog, needs_checkpoint=True
    ),
    Section("latency", "around the model", lambda options: 15.0 + 0.5 * options.latency),
    Section(
        "start",
        "first row, and memory",
        lambda options: (options.rounds + 1) * (8.0 + 14.0 * options.reference),
        needs_checkpoint=True,
    ),
    Section("growth", "memory over many captures", lambda options: 10.0 + options.growth / 40),
)
SECTIONS = {section.name: section for section in _ALL}

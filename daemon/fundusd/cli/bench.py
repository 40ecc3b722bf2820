"""fundusd bench: measure the speed of this machine."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fundusd.cli.layout import Command
from fundusd.cli.options import Json
from fundusd.cli.output import as_json
from fundusd.domain.errors import NotInstalled

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fundusd_bench.work import Options

_SWEEP_FILES = 1_000_000  # that --end-to-end sweeps unless --sweep gives another number
_GUIDANCE = """\
Nothing was measured: choose a section. Each prints medians, spread, ratios, goals and machine.

  fundusd bench --end-to-end --reference   everything, with all goals; 30 to 60 minutes on two cores
  fundusd bench --model                    the model, its drift and operations; about 8 minutes
  fundusd bench --decode                   decoding of photographs; about a minute
  fundusd bench --ledger                   the database, with a million captures; about two minutes
  fundusd bench --sweep 100000             sweeps of an inbox with 100,000 files; about a minute

--model and --end-to-end need a checkpoint of full size. Name one with --checkpoint DIR; otherwise a
random one is made once in {cache} ({size} GB).
It is not MedSigLIP, and its scores mean nothing, but it takes as much time and memory.
Run nothing else meanwhile. To see all options: fundusd bench --help"""

_EndToEnd = Annotated[
    bool, typer.Option("--end-to-end", help="Run all sections, including the whole daemon.")
]
_Model = Annotated[
    bool,
    typer.Option("--model", help="Time JPEG to scores by backend; measure drift and operations."),
]
_Decode = Annotated[
    bool, typer.Option("--decode", help="Time decoding a JPEG to the model's input square.")
]
_Ledger = Annotated[
    bool, typer.Option("--ledger", help="Time admitting, claiming and recording captures.")
]
_Sweep = Annotated[
    int,
    typer.Option(
        metavar="N", min=0, help="Time sweeps of an inbox with N files.", show_default=False
    ),
]
_Reference = Annotated[
    bool,
    typer.Option("--reference", help="Also time the reference example, interleaved with fundusd."),
]
_Rounds = Annotated[int, typer.Option(metavar="N", min=1, help="Rounds of each comparison.")]
_Checkpoint = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR",
        help="Checkpoint to measure (default: a random one of full size, made once in the cache).",
        show_default=False,
    ),
]
_Captures = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR",
        exists=True,
        file_okay=False,
        help="Photographs on which drift is measured (default: phantoms).",
        show_default=False,
    ),
]
_CapturesCount = Annotated[int, typer.Option(metavar="N", min=1, help="Captures in the backlog.")]
_LatencyCount = Annotated[int, typer.Option(metavar="N", min=1, help="Captures timed singly.")]
_GrowthCount = Annotated[
    int, typer.Option(metavar="N", min=1, help="Captures graded while memory is watched.")
]
_Keep = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR", help="Keep inboxes, settings and databases in DIR.", show_default=False
    ),
]


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command(cls=Command)(bench)


def bench(
    end_to_end: _EndToEnd = False,
    model: _Model = False,
    decode: _Decode = False,
    ledger: _Ledger = False,
    sweep: _Sweep = 0,
    reference: _Reference = False,
    rounds: _Rounds = 5,
    checkpoint: _Checkpoint = None,
    captures: _Captures = None,
    captures_count: _CapturesCount = 100,
    latency_count: _LatencyCount = 30,
    growth_count: _GrowthCount = 10_000,
    keep: _Keep = None,
    json: Json = False,
) -> None:
    """Measure the speed of fundusd on this machine.

    Cases are interleaved, so ratios are valid even on a busy machine; seconds are valid for this
    machine only. The exit status is 0 whether or not the goals are met. Everything runs on the CPU.
    The benchmark is part of a checkout (pip install --editable .); a wheel does not contain it.

    On first use, --end-to-end and --model write a checkpoint with random weights and the size of
    MedSigLIP (3.5 GB) to $XDG_CACHE_HOME/fundusd/bench (default: ~/.cache/fundusd/bench), a folder
    in which they also keep photographs. Remove the folder when you are done.

    Examples:
      fundusd bench --end-to-end --reference
      fundusd bench --model --reference --rounds 3 --json
      fundusd bench --model --checkpoint ~/medsiglip-448 --captures ~/photographs
    """
    _require_benchmark()
    chosen = {"decode": decode, "ledger": ledger, "sweep": sweep > 0, "model": model}
    names = _section_names(chosen, end_to_end=end_to_end)
    if not names:
        _print_guidance()
        return
    from fundusd_bench.work import Options

    options = Options(
        sections=names,
        rounds=rounds,
        reference=reference,
        captures=captures,
        backlog=captures_count,
        latency=latency_count,
        growth=growth_count,
        sweep=sweep or _SWEEP_FILES,
    )
    _measure(options, checkpoint, keep, json=json)


def _require_benchmark() -> None:
    """Raise NotInstalled if the benchmark is missing, as it is after installation from a wheel."""
    if find_spec("fundusd_bench") is None:
        raise NotInstalled(
            "The benchmark is not installed, because a wheel does not contain it.",
            hint="Clone fundusd's repository with git, then run there: pip install --editable .",
        )


def _section_names(chosen: Mapping[str, bool], *, end_to_end: bool) -> tuple[str, ...]:
    """Return the names of the sections to run, in the order in which they run."""
    if not end_to_end:
        return tuple(name for name, is_chosen in chosen.items() if is_chosen)
    from fundusd_bench.sections import SECTIONS

    return tuple(SECTIONS)


def _measure(options: Options, checkpoint: Path | None, keep: Path | None, *, json: bool) -> None:
    """Run the sections and print the report."""
    from fundusd_bench import report
    from fundusd_bench.run import run

    measured = run(options, checkpoint, keep, report.console(stderr=True))
    if json:
        print(as_json(report.as_dict(measured)))
    else:
        report.show(measured, report.console())


def _print_guidance() -> None:
    from fundusd_bench import places

    print(_GUIDANCE.format(cache=places.random_checkpoint(), size=places.CHECKPOINT_GB))

"""fundusd bench: the speed figures, from one command."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fundusd.cli.options import Json, as_json

_SWEEP_FILES = 1_000_000  # under --end-to-end
_GUIDANCE = """\
Nothing was measured: choose a section. Each prints medians, spread, ratios, goals and the machine.

  fundusd bench --end-to-end --reference   all of it, with every goal; 30 to 60 minutes on two cores
  fundusd bench --model                    the model, its drift and operations; about 8 minutes
  fundusd bench --decode                   reading photographs; about a minute
  fundusd bench --ledger                   the database, with a million captures in it; about two minutes
  fundusd bench --sweep 100000             sweeps of an inbox of so many files; about a minute

--model and --end-to-end need a checkpoint of full size: name one with --checkpoint DIR, else a random one is made
once in {cache} ({size} GB). It is not MedSigLIP, and its scores mean nothing; it costs what MedSigLIP does.
Let nothing else run meanwhile. The explanation of every option: fundusd bench --help"""


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command()(bench)


def bench(
    end_to_end: Annotated[
        bool, typer.Option("--end-to-end", help="All sections, and the daemon as a whole.")
    ] = False,
    model: Annotated[
        bool, typer.Option("--model", help="JPEG to scores by backend; drift; operations.")
    ] = False,
    decode: Annotated[bool, typer.Option("--decode", help="JPEG to the model's square.")] = False,
    ledger: Annotated[bool, typer.Option("--ledger", help="Admit, claim, record.")] = False,
    sweep: Annotated[
        int, typer.Option(metavar="N", min=0, help="Sweep an inbox of N files.", show_default=False)
    ] = 0,
    reference: Annotated[
        bool, typer.Option("--reference", help="The reference example too, in turns with fundusd.")
    ] = False,
    rounds: Annotated[int, typer.Option(metavar="N", min=1, help="Rounds of each comparison.")] = 5,
    checkpoint: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Checkpoint to measure with (default: a random one of full size, made once in the cache).",
            show_default=False,
        ),
    ] = None,
    captures: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="Photographs for the drift (default: phantoms).", show_default=False
        ),
    ] = None,
    captures_count: Annotated[
        int, typer.Option(metavar="N", min=1, help="Captures in the backlog.")
    ] = 100,
    latency_count: Annotated[
        int, typer.Option(metavar="N", min=1, help="Captures timed one by one.")
    ] = 30,
    growth_count: Annotated[
        int, typer.Option(metavar="N", min=1, help="Captures for the growth.")
    ] = 10_000,
    keep: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="Keep inboxes, settings and databases in DIR.", show_default=False
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Measure this machine: how fast fundusd is, beside the reference example, and which goals are met.

    Cases run interleaved, so that ratios hold on a machine that is not quiet; seconds are this machine's own.
    Exit status 0 whether goals are met or not. Everything runs on the CPU and on this machine only.

    --end-to-end and --model make a checkpoint of MedSigLIP's size with random weights, 3.5 GB, once, in
    $XDG_CACHE_HOME/fundusd/bench (else ~/.cache/fundusd/bench); photographs are kept there too. Remove the folder
    when you are done.

    Examples: fundusd bench --end-to-end --reference; fundusd bench --model --reference --rounds 3 --json;
    fundusd bench --decode; fundusd bench --model --checkpoint ~/medsiglip-448 --captures ~/photographs
    """
    from fundusd_bench.sections import SECTIONS

    chosen = {"decode": decode, "ledger": ledger, "sweep": bool(sweep), "model": model}
    names = list(SECTIONS) if end_to_end else [name for name, wanted in chosen.items() if wanted]
    if not names:
        _guide()
        return
    if captures is not None and not captures.is_dir():
        raise typer.BadParameter(f"there is no folder {captures}")
    from fundusd_bench import report
    from fundusd_bench.run import run
    from fundusd_bench.work import Order

    order = Order(
        sections=tuple(names),
        rounds=rounds,
        reference=reference,
        captures=captures,
        backlog=captures_count,
        latency=latency_count,
        growth=growth_count,
        sweep=sweep or _SWEEP_FILES,
    )
    found = run(order, checkpoint, keep, report.console(stderr=True))
    if json:
        print(as_json(report.as_dict(found)))
    else:
        report.show(found, report.console())


def _guide() -> None:
    from fundusd_bench import places

    print(_GUIDANCE.format(cache=places.random_checkpoint(), size=places.CHECKPOINT_GB))

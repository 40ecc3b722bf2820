"""fundusd quality: fit the image quality thresholds to a camera."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fundusd.cli.layout import Command, Group
from fundusd.cli.options import (
    DRAWING_SUFFIXES,
    Config,
    Json,
    camera_named,
    load,
    require_output_file,
)
from fundusd.cli.output import as_json

if TYPE_CHECKING:
    from fundusd.clinical.quality_calibration import Calibration

app = typer.Typer(cls=Group, no_args_is_help=True)

_Camera = Annotated[
    str, typer.Option("--camera", metavar="ID", help="The camera whose captures are used.")
]
_Plot = Annotated[
    Path | None,
    typer.Option(
        "--plot",
        metavar="FILE",
        help="Plot histograms and the share stopped by visibility: .png, .svg or .pdf.",
        show_default=False,
    ),
]


@app.callback()
def quality() -> None:
    """Fit the image quality thresholds to a camera."""


@app.command(cls=Command)
def calibrate(
    camera: _Camera, plot: _Plot = None, json: Json = False, config: Config = None
) -> None:
    """Propose quality thresholds from captures and their reviews.

    Prints a [camera.quality] table that would make about as many captures ungradable as are bad,
    from 5 to 20 per cent, and changes nothing. Bad is what readers called ungradable in reviews;
    before they called 20 captures gradable and 20 ungradable, no threshold becomes looser than its
    default. Look at the captures that would be stopped before you use the table, because new
    thresholds make a new release. The exit status is 1 if there are too few captures.

    Examples:
      fundusd quality calibrate --camera cr2-room1
      fundusd quality calibrate --camera cr2-room1 --plot cr2-room1.png
    """
    from fundusd.app.open_ledger import opened_ledger
    from fundusd.clinical import quality_calibration

    settings = load(config)
    named = camera_named(settings, camera)
    if plot is not None:
        require_output_file(settings, plot, DRAWING_SUFFIXES)
    with opened_ledger(settings) as ledger:
        ledger.check()
        measures = ledger.measures_of(camera)
    calibration = quality_calibration.calibrate(measures, named.thresholds)
    if plot is not None:
        from fundusd.reports.quality_histograms import histograms

        histograms(camera, measures, calibration).save(plot)
    if json:
        print(as_json({"camera": camera, **asdict(calibration)}))
    else:
        _print(camera, calibration, has_table="quality" in named.model_fields_set)


def _print(camera: str, calibration: Calibration, *, has_table: bool) -> None:
    """Print the proposed table, below comments that say what it stops and where it belongs."""
    from fundusd.clinical.quality_calibration import as_text, as_toml

    now, then = calibration.stops_now, calibration.would_stop
    shares = f"stops {then.share:.1%} (now {now.share:.1%})"
    lines = [f"{camera}: {shares} of {calibration.captures} captures"]
    if calibration.left_out:
        lines.append(f"{calibration.left_out} more lack a measure and are left out")
    for count, could, proposed, present in (
        (calibration.called_gradable, "could grade", then.gradable, now.gradable),
        (calibration.called_ungradable, "could not grade", then.ungradable, now.ungradable),
    ):
        if count:
            lines.append(
                f"of {count} that readers {could}: stops {proposed:.1%} (now {present:.1%})"
            )
    if then.reasons:
        lines.append(f"reasons: {as_text(then)}")
    if calibration.missed_aim:
        lines.append(f"This is not 5 to 20 %. {calibration.missed_aim}")
    place = "Paste this table below the [[camera]] section of this camera"
    if has_table:
        place = "Replace the table [camera.quality] of this camera with this one"
    lines.append(f"{place}, run `fundusd check`, and restart the service.")
    for line in lines:
        print(f"# {line}")
    print(as_toml(calibration.proposed))

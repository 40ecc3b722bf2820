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
    from 5 to 20 per cent, and changes nothing. Bad is what readers called ungradable in reviews.
    Look at those captures before you paste the table below the camera's [[camera]], because new
    thresholds make a new release. The exit status is 1 if there are too few captures.

    Examples:
      fundusd quality calibrate --camera cr2-room1
      fundusd quality calibrate --camera cr2-room1 --plot cr2-room1.png
    """
    from fundusd.app.open_ledger import opened_ledger
    from fundusd.clinical import quality_calibration

    settings = load(config)
    present = camera_named(settings, camera).thresholds
    if plot is not None:
        require_output_file(settings, plot, DRAWING_SUFFIXES)
    with opened_ledger(settings) as ledger:
        ledger.check()
        measures = ledger.measures_of(camera)
    calibration = quality_calibration.calibrate(measures, present)
    if plot is not None:
        from fundusd.reports.quality_histograms import histograms

        histograms(camera, measures, calibration).save(plot)
    if json:
        print(as_json({"camera": camera, **asdict(calibration)}))
    else:
        _print(camera, calibration)


def _print(camera: str, calibration: Calibration) -> None:
    from fundusd.clinical.quality_calibration import as_toml

    print(
        f"# {camera}, from {calibration.captures} captures: "
        f"{calibration.would_flag:.1%} would be ungradable, {calibration.flagged:.1%} are now"
    )
    if calibration.called_gradable or calibration.called_ungradable:
        print(
            f"# readers called {calibration.called_gradable} gradable "
            f"and {calibration.called_ungradable} ungradable"
        )
    print(as_toml(calibration.proposed))

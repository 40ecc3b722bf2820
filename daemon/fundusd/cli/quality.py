"""fundusd quality: the quality gate, fitted to a camera."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fundusd.cli.options import Config, Json, as_json, load, require_place

if TYPE_CHECKING:
    from fundusd.clinical.quality_calibration import Calibration

app = typer.Typer(help="The quality gate, fitted to a camera.", no_args_is_help=True)

_KINDS = (".png", ".svg", ".pdf")


@app.callback()
def quality() -> None:
    """Hold the sub-commands, though there is only one."""


@app.command()
def calibrate(
    camera: Annotated[str, typer.Option("--camera", metavar="ID", help="Whose captures to go by.")],
    plot: Annotated[
        Path | None,
        typer.Option(
            "--plot",
            metavar="FILE",
            help="Plot what was measured: .png, .svg or .pdf.",
            show_default=False,
        ),
    ] = None,
    json: Json = False,
    config: Config = None,
) -> None:
    """Propose quality thresholds for a camera, from what was measured of its own captures; changes nothing.

    Prints a [camera.quality] table by which the worst few per cent of its captures are ungradable. Look at those
    captures before you paste it below the camera's [[camera]]: other thresholds are another release.

    Examples: fundusd quality calibrate --camera cr2-room1;
    fundusd quality calibrate --camera cr2-room1 --plot cr2-room1.png
    """
    from fundusd.app.open_ledger import opened_ledger
    from fundusd.clinical import quality_calibration

    settings = load(config)
    present = {one.id: one.thresholds for one in settings.camera}
    if camera not in present:
        raise typer.BadParameter(
            f"there is no camera {camera} in the settings, only {', '.join(present) or 'none'}"
        )
    if plot is not None:
        require_place(settings, plot, _KINDS)
    with opened_ledger(settings) as ledger:
        ledger.check()
        measured = ledger.measures_of(camera)
    found = quality_calibration.calibrate(measured, present[camera])
    if plot is not None:
        from fundusd.reports.quality_histograms import histograms

        histograms(camera, measured, found).save(plot)
    if json:
        print(as_json({"camera": camera, **asdict(found)}))
    else:
        _show(camera, found)


def _show(camera: str, found: Calibration) -> None:
    from fundusd.clinical.quality_calibration import as_toml

    print(
        f"# {camera}, by {found.captures} captures: ungradable are {found.would_flag:.1%}, now {found.flagged:.1%}"
    )
    print(as_toml(found.proposed))

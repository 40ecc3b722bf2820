"""fundusd check: verify that the daemon has what it needs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fundusd.cli.layout import Command
from fundusd.cli.options import Config, Json, Wide, load
from fundusd.cli.output import as_json
from fundusd.domain.errors import SettingsError

if TYPE_CHECKING:
    from fundusd.app.check_result import CheckResult
    from fundusd.app.settings import Settings

_Names = Annotated[
    Path | None,
    typer.Option(
        "--names",
        metavar="DIR",
        help="Preview what is read from the paths below DIR; check nothing else.",
        show_default=False,
    ),
]
_Convention = Annotated[
    str,
    typer.Option(
        "--convention",
        metavar="NAME",
        help="With --names: the naming convention to use (default: generic).",
    ),
]
_Languages = Annotated[
    str,
    typer.Option(
        "--languages",
        metavar="CODES",
        help="With --names: the languages of the names, such as es,de (default: none).",
    ),
]
_Settings = Annotated[
    bool,
    typer.Option("--settings", help="Check the settings file, as a start would; nothing else."),
]
_Camera = Annotated[
    str,
    typer.Option(
        "--camera", metavar="ID", help="With --names: use the naming settings of this camera."
    ),
]


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command(cls=Command)(check)


def check(
    config: Config = None,
    names: _Names = None,
    convention: _Convention = "",
    languages: _Languages = "",
    camera: _Camera = "",
    only_settings: _Settings = False,
    json: Json = False,
    wide: Wide = False,
) -> None:
    """Check settings, inboxes, site key, database and model.

    Prints a line for each of them, with a hint if something is wrong. Typed by root, the command
    runs as the service's user, and says what that user can see. If a camera has its own database,
    the command asks it for a few captures. For each camera, a line says how its pictures are
    turned, as learnt from its captures. Receivers on the network are asked whether they would take
    documents; WARN is printed for one that would not at present, because the service waits for it.
    The exit status is 78 if the settings are wrong, and 1 if anything else is wrong.

    With --settings, only the settings file is checked. `systemctl reload fundusd` does this first.

    With --names, the command shows which eye, field, patient and date would be read from the paths
    in a folder, and how many paths lack each of these, so that you can try a convention or pattern
    before you set it. It opens no photograph and changes nothing. With --camera, it passes over
    what the camera's globs in `ignore` match, and asks the camera's own database if the settings
    name one.

    Examples:
      fundusd check --config /etc/fundusd/fundusd.toml
      fundusd check --names /srv/camera/export --convention eyepacs
      fundusd check --names /srv/camera/export --languages es,de
      fundusd check --names /srv/camera/export --camera cr2-room1 --json
    """
    if names is not None:
        from fundusd.cli.path_preview import preview, reading_of

        preview(names, reading_of(config, convention, languages, camera), json=json, wide=wide)
        return
    if convention or languages or camera:
        raise typer.BadParameter("--convention, --languages and --camera go with --names")
    from fundusd.app.folder_overlaps import require_separate_folders

    settings = load(config)
    require_separate_folders(settings)
    if only_settings:
        _check_settings(settings)
    else:
        _check_all(settings, config, json=json)


def _check_settings(settings: Settings) -> None:
    _require_usable(settings)
    print("ok    settings")


def _require_usable(settings: Settings) -> None:
    """Raise SettingsError if the service would refuse these settings at its start."""
    from fundusd.app.settings import require_camera
    from fundusd.model.prompts import load_prompt_set

    require_camera(settings)
    load_prompt_set(settings.model.prompts)


def _check_all(settings: Settings, config: Path | None, *, json: bool) -> None:
    """Print a line for everything that the daemon needs.

    Exits with 78 if the settings are wrong, or with 1 if anything else is.
    """
    from fundusd.app import health_check
    from fundusd.app.settings_file import path_of

    results = list(health_check.check(settings, path_of(config)))
    if json:
        print(as_json(results))
    else:
        print("ok    settings")
        for result in results:
            _print_result(result)
    if all(result.ok for result in results):
        return
    try:
        _require_usable(settings)
    except SettingsError as error:  # its sentence is printed already
        raise typer.Exit(error.exit_code) from None
    raise typer.Exit(1)


def _print_result(result: CheckResult) -> None:
    word = "ok" if result.ok else "WRONG"
    if result.is_warning:
        word = "WARN"
    print(f"{word:<5} {result.subject}: {result.verdict}")
    if result.hint:
        print(f"      {result.hint}")

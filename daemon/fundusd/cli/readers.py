"""Which reader of the settings uses a command, and whether the reader may do what it does."""

from __future__ import annotations

import getpass
from typing import TYPE_CHECKING, Annotated

import typer

from fundusd.domain.errors import RequestError

if TYPE_CHECKING:
    from fundusd.app.settings import Settings
    from fundusd.app.settings_clinic import ReaderSettings
    from fundusd.domain.readings import ReaderPermission

Reader = Annotated[
    str,
    typer.Option(
        "--reader",
        metavar="ID",
        help="Who you are: the id of a [[reader]] in the settings.",
        show_default="your login name",
    ),
]


def reader_who_may(settings: Settings, given: str, permission: ReaderPermission) -> ReaderSettings:
    """Return the reader with the given id, or of the login name if none is given.

    Raises RequestError if there is no such reader, or if the reader may not do this.
    """
    reader = _named(settings, given)
    if permission in reader.may:
        return reader
    allowed = ", ".join(reader.may)
    raise RequestError(
        f'Reader {reader.id} may not do this: "{permission}" is missing.',
        hint=f'This reader may do: {allowed}. Add "{permission}" to `may` of the [[reader]] '
        f"{reader.id} in the settings, or let another reader do it.",
    )


def _named(settings: Settings, given: str) -> ReaderSettings:
    wanted = given or getpass.getuser()
    for reader in settings.reader:
        if reader.id == wanted:
            return reader
    if not settings.reader:
        raise RequestError(
            "The settings name no reader.",
            hint="Add lines such as these to the settings file, once for each person:\n"
            f'  [[reader]]\n  id = "{wanted}"\n  role = "grader"\n  may = ["routine", "correct"]',
        )
    known = ", ".join(reader.id for reader in settings.reader)
    if given:
        raise RequestError(
            f"There is no reader {wanted} in the settings.",
            hint=f"The readers are: {known}. Use --reader with one of them, or add a [[reader]].",
        )
    raise RequestError(
        f"Your login name, {wanted}, is not the id of a reader in the settings.",
        hint=f"Use --reader with one of: {known}.",
    )

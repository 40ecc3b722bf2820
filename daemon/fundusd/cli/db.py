"""fundusd db: create, upgrade and check the database schema, and adopt a database."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Annotated

import typer

from fundusd.cli.layout import Command
from fundusd.cli.options import Config, load
from fundusd.domain.errors import LedgerUnfit, SettingsError

if TYPE_CHECKING:
    from fundusd.app.settings import Settings
    from fundusd.ledger import Ledger

app = typer.Typer(
    help="Create, upgrade and check the database, or adopt another.", no_args_is_help=True
)


@app.command(cls=Command)
def upgrade(config: Config = None) -> None:
    """Create the schema, or upgrade it to this program's version.

    Stop the service first. The upgrade is a single transaction.

    Example:
      fundusd db upgrade
    """
    from fundusd.app import known_site
    from fundusd.app.open_ledger import opened_ledger

    settings = load(config)
    with opened_ledger(settings, to_upgrade=True) as ledger:
        if ledger.is_empty():  # raises if the tables are another program's, before the lock is made
            known_site.require_known(settings, ledger)
        with ledger.held():
            done = ledger.upgrade()
    if done.before == done.after:
        print(f"The schema is at {done.after}.")
        return
    print(f"The schema was upgraded from {done.before or 'nothing'} to {done.after}.")
    if done.judged_exams:
        print(
            f"Exams judged by the rules of this version: {done.judged_exams}; "
            f"changed: {done.changed_exams}."
        )
    if done.regrouped_exams:
        print(f"Exams with photographs that belong to other exams now: {done.regrouped_exams}.")
    if done.queued_documents:
        print(f"Documents that are sent again: {done.queued_documents}.")


@app.command(cls=Command)
def check(config: Config = None) -> None:
    """Check the schema's version and the audit guards.

    Every page of a SQLite file is read, so that damage is noticed.

    Example:
      fundusd db check
    """
    from fundusd.app.open_ledger import opened_ledger

    with opened_ledger(load(config)) as ledger:
        revision = ledger.check()
        ledger.database.require_intact()
        print(f"The schema is at {revision}, the version that this program needs.")


_FROM_THE_NEXT_START = "from the next start of the service on"
_SAME_KEY = "The site key is that of the rows already."
_OTHER_KEY = (
    "The next start accepts another site key than that of the rows; patients who come again then "
    "become new persons."
)

_SiteKey = Annotated[
    bool,
    typer.Option("--site-key", help="Accept the present site key, too; every person begins anew."),
]


@app.command(cls=Command)
def adopt(config: Config = None, site_key: _SiteKey = False) -> None:
    """Make the database in the settings that of this site from now on.

    The service refuses to start on a database other than the one that it has worked on, because
    that is usually a mistake. If it is meant, stop the service and run this command. It creates
    the schema if the database is empty. The next start of the service completes the change.

    With --site-key, the service also accepts another site key than that of the rows in the
    database. Patients who come again then become new persons. The command says what was so already.

    Examples:
      fundusd db adopt
      fundusd db adopt --site-key
    """
    from fundusd.app.open_ledger import opened_ledger

    settings = load(config)
    with opened_ledger(settings) as ledger:
        ledger.is_empty()  # raises if the tables are another program's, before the lock is made
        with ledger.held():
            since = "already" if _is_known(settings, ledger) else _FROM_THE_NEXT_START
            has_key = _has_key_of_rows(settings, ledger)
            ledger.create_if_empty()
            ledger.check()
            ledger.adopt_site(accept_key=site_key)
        print(f"{ledger.database.shown} is the database of this site {since}.")
    if site_key:
        print(_SAME_KEY if has_key else _OTHER_KEY)


def _is_known(settings: Settings, ledger: Ledger) -> bool:
    from fundusd.app import known_site

    try:
        known_site.require_known(settings, ledger)
    except LedgerUnfit:
        return False
    return True


def _has_key_of_rows(settings: Settings, ledger: Ledger) -> bool:
    """Return whether rows were made with the present site key, or there is none yet."""
    from fundusd.app import site_key
    from fundusd.clinical.pseudonyms import Identifiers

    in_use, key = ledger.key_in_use(), b""
    with suppress(SettingsError):  # a key that is gone or cannot be used is not that of the rows
        key = site_key.read(settings.privacy.site_key_file)
    return in_use is None or in_use == Identifiers(key).key_id

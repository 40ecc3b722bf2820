"""fundusd db: create, upgrade and check the database schema, and adopt a database."""

from __future__ import annotations

from typing import Annotated

import typer

from fundusd.cli.layout import Command
from fundusd.cli.options import Config, load

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
    database. Patients who come again then become new persons.

    Example:
      fundusd db adopt
    """
    from fundusd.app.open_ledger import opened_ledger

    with opened_ledger(load(config)) as ledger:
        ledger.is_empty()  # raises if the tables are another program's, before the lock is made
        with ledger.held():
            ledger.create_if_empty()
            ledger.check()
            ledger.adopt_site(accept_key=site_key)
        shown = ledger.database.shown
    print(f"{shown} is the database of this site from the next start of the service on.")

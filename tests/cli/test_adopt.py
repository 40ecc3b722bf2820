"""fundusd db adopt says what it has changed, and what was so already."""

from __future__ import annotations

import secrets
from contextlib import closing
from typing import TYPE_CHECKING

import pytest
from tests import ledger_cases as cases
from tests.cli.test_commands import RunCommand, fundusd, place

from fundusd.ledger import Ledger

if TYPE_CHECKING:
    from tests import daemon_cases

__all__ = ["fundusd", "place"]  # fixtures

FROM_THE_NEXT_START = "is the database of this site from the next start of the service on."
ALREADY = "is the database of this site already."
OTHER_KEY = "The next start accepts another site key than that of the rows"
SAME_KEY = "The site key is that of the rows already."


@pytest.fixture
def known(place: daemon_cases.Site) -> daemon_cases.Site:
    """Set up a site whose service has worked on its database, with a patient in it."""
    key = secrets.token_hex(32).encode()
    (place.folder / "site.key").write_bytes(key)
    (place.folder / "site.key").chmod(0o600)
    with closing(Ledger(f"sqlite:///{place.folder}/fundusd.db", site_key=key)) as ledger:
        ledger.start(cases.release())
        ledger.register_camera(cases.CAMERA)
        cases.classify(ledger)
        (place.folder / "site.identity").write_text(ledger.site_identity)
    return place


def adopt(fundusd: RunCommand, place: daemon_cases.Site, *words: str) -> str:
    ended = fundusd("db", "adopt", *words, "--config", place.path)
    assert ended.code == 0, ended.err
    return " ".join(ended.out.split())


def test_the_database_that_the_site_has_is_its_own_already(
    fundusd: RunCommand, known: daemon_cases.Site
) -> None:
    printed = adopt(fundusd, known)
    assert printed.endswith(ALREADY)
    assert "site key" not in printed
    printed = adopt(fundusd, known, "--site-key")
    assert ALREADY in printed
    assert printed.endswith(SAME_KEY)


def test_another_database_is_adopted(fundusd: RunCommand, known: daemon_cases.Site) -> None:
    (known.folder / "site.identity").write_text(secrets.token_hex(16))
    assert adopt(fundusd, known).endswith(FROM_THE_NEXT_START)


@pytest.mark.parametrize("is_lost", [True, False])
def test_another_key_is_accepted_only_if_that_was_asked_for(
    fundusd: RunCommand, known: daemon_cases.Site, *, is_lost: bool
) -> None:
    key = known.folder / "site.key"
    key.unlink() if is_lost else key.write_text(secrets.token_hex(32))
    assert "site key" not in adopt(fundusd, known)
    printed = adopt(fundusd, known, "--site-key")
    assert OTHER_KEY in printed
    assert "new persons" in printed

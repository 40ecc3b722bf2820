"""`check` and `status` show how each camera's pictures are turned."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa
from tests import daemon_cases, ledger_cases
from typer.testing import CliRunner

from fundusd.cli.commands import command_line
from fundusd.clinical.camera_orientation import add_votes, usual_orientation
from fundusd.ledger import Ledger
from fundusd.ledger.tables import camera

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def place(tmp_path: Path, sqlite_url: str) -> daemon_cases.Site:
    site = daemon_cases.site(tmp_path, sqlite_url)
    ledger = Ledger(sqlite_url)
    ledger.start(ledger_cases.release())
    ledger.register_camera("room1")
    ledger.close()
    return site


def vote(place: daemon_cases.Site, votes: str) -> None:
    kept, usual = "", None
    for directions in votes.split():
        kept = add_votes(kept, [directions])
        usual = usual_orientation(kept, usual)
    engine = sa.create_engine(f"sqlite:///{place.folder}/fundusd.db")
    columns = {"orientation_votes": kept, "usual_orientation": usual}
    with engine.begin() as connection:
        connection.execute(sa.update(camera).values(columns))
    engine.dispose()


def run(place: daemon_cases.Site, *words: str) -> tuple[int, str]:
    done = CliRunner().invoke(command_line(), [*words, "--config", str(place.path)])
    return done.exit_code, done.output


@pytest.mark.parametrize(
    ("votes", "code", "verdict", "hint"),
    [
        ("", 0, "ok    pictures of room1: not learnt yet (0 captures)", ""),
        ("ru " * 60, 0, "ok    pictures of room1: normal (60 captures)", ""),
        (
            "ld " * 60,
            0,
            "ok    pictures of room1: upside_down (60 captures)",
            "the eyes of this camera are named wrongly",
        ),
        (
            "ru " * 60 + "lu " * 20,
            1,
            "WRONG pictures of room1: TURNED from normal to mirrored",
            "Compare a photograph of today",
        ),
        (
            "ru ru ld " * 20,
            0,
            "ok    pictures of room1: normal, partly turned by 180 degrees (60 captures)",
            "Some pictures are turned",
        ),
        (
            "lu lu rd " * 20,
            0,
            "ok    pictures of room1: mirrored, partly turned by 180 degrees (60 captures)",
            "the eyes of this camera are named wrongly",
        ),
        (
            "ru lu " * 30,
            1,
            "WRONG pictures of room1: unclear, because captures disagree",
            "no eye is checked",
        ),
    ],
)
def test_check_and_status_show_what_was_learnt(
    place: daemon_cases.Site, votes: str, code: int, verdict: str, hint: str
) -> None:
    vote(place, votes)
    exit_code, output = run(place, "check")
    assert exit_code == code, output
    assert verdict in output
    assert hint in " ".join(output.split())
    phrase = verdict.partition("room1: ")[2]
    assert phrase in run(place, "status")[1]
    facts = json.loads(run(place, "status", "--json")[1])
    assert facts["cameras"][0]["orientation"]["votes"] == len(votes.split())


def test_check_without_a_database_says_nothing_of_orientations(place: daemon_cases.Site) -> None:
    place.path.write_text(place.path.read_text().replace("fundusd.db", "later.db"))
    exit_code, output = run(place, "check")
    assert exit_code == 0
    assert "pictures of" not in output

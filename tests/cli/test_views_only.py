"""A role of PostgreSQL that may read the views only is told no more than they show."""

from __future__ import annotations

import json
from contextlib import closing
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import pytest
from tests import daemon_cases, ledger_cases
from tests.cli.test_commands import RunCommand, fundusd
from tests.cli.test_lists import NO_DR, RIGHT
from tests.cli.test_show import OF_SWAPPED
from tests.cli.test_users import execute
from tests.ledger.test_database_troubles import of, role

from fundusd.domain.clinical_terms import Eye, EyeSource
from fundusd.domain.errors import ExitStatus
from fundusd.ledger import Ledger, views

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from fundusd.domain.decoding import Content

__all__ = ["fundusd", "role"]  # fixtures

GRANT = 'GRANT SELECT ON ALL TABLES IN SCHEMA public TO "nurse"'
MAY_NOT = "Role nurse may not read every table"
OF_UNKNOWN_EYE = replace(RIGHT, eye=Eye.UNKNOWN, eye_source=EyeSource.NONE)
OF_A_TEST = replace(RIGHT, warnings=("not_a_patient",))
DOUBTED = [
    ("a_OS.jpg", OF_SWAPPED, "find out which eye"),
    ("1.jpg", OF_UNKNOWN_EYE, "find out which eye"),
    ("1.jpg", OF_A_TEST, "find out whose"),
]
DOUBTS = ["eye contradicted", "eye unknown", "patient uncertain"]


@dataclass
class Reader:
    """A person whose role may read the views only, and the owner of the tables."""

    command: RunCommand
    url: str
    own: Path
    owner: Path

    def add(
        self,
        name: str,
        content: Content = RIGHT,
        word: str = "",
        logits: Sequence[float] = NO_DR,
    ) -> None:
        """Record a graded photograph, by default without DR."""
        key, cameras = ledger_cases.SITE_KEY, ("room1",)
        # every negative eye is to be confirmed, so that it is on the worklist, too
        opened = Ledger(self.url, site_key=key, cameras=cameras, confirmed_share=1.0)
        with closing(opened) as ledger, ledger.held():
            ledger.start(ledger_cases.release())
            ledger.admit(replace(ledger_cases.found(name, word or name), camera_id="room1"))
            ledger.record(
                [ledger_cases.finding(claim, content, logits) for claim in ledger.claim(1)]
            )

    def typed(self, *words: str, as_owner: bool = False) -> str:
        """Type a command that succeeds, and return what it prints as words."""
        ended = self.command(*words, "--config", self.owner if as_owner else self.own)
        assert ended.code == ExitStatus.OK, ended.err
        return " ".join((ended.out + ended.err).split())


@pytest.fixture
def reader(fundusd: RunCommand, tmp_path: Path, postgres_url: str, role: str) -> Reader:
    names = ", ".join((*views.definitions(), views.DIGEST_VIEW))
    execute(postgres_url, f"GRANT SELECT ON {names} TO {role}")
    places = []
    for name, url in (("own", of(postgres_url, username=role)), ("owner", postgres_url)):
        (tmp_path / name).mkdir()
        places.append(daemon_cases.site(tmp_path / name, url).path)
    return Reader(fundusd, postgres_url, *places)


# -- show


@pytest.mark.parametrize(("name", "content", "step"), DOUBTED, ids=DOUBTS)
def test_show_says_that_a_photograph_is_in_doubt(
    reader: Reader, name: str, content: Content, step: str
) -> None:
    reader.add(name, content)
    for as_owner in (True, False):
        text = reader.typed("show", "1", as_owner=as_owner)
        assert "verdict In doubt." in text
        assert step in text.lower()
        assert "enough to grade" not in text
        assert "ot referable" not in text
        assert "scores of the grades" not in text
        assert (MAY_NOT in text) != as_owner
    facts = json.loads(reader.command("show", "1", "--json", "--config", reader.own).out)
    assert facts["verdict"] == "In doubt"


def test_show_calls_no_photograph_negative_that_may_be_the_one_in_doubt(reader: Reader) -> None:
    """The views name one photograph of an eye, the decisive one."""
    reader.add("1.jpg", OF_A_TEST)
    reader.add("2.jpg", OF_A_TEST)
    assert "verdict In doubt." in reader.typed("show", "1", as_owner=True)
    ended = reader.command("show", "1", "--config", reader.own)
    assert "May be in doubt. No DR" in ended.out
    assert GRANT in ended.out
    facts = reader.command("show", "1", "--json", "--config", reader.own)
    assert json.loads(facts.out)["verdict"] == "May be in doubt"
    assert json.loads(facts.out)["quality"] == "Graded"
    assert GRANT in facts.err


def test_show_calls_no_photograph_negative_of_which_the_exam_does_not_know_the_eye(
    reader: Reader,
) -> None:
    """One picture under the names of both eyes; the view of captures has the eye of each name."""
    reader.add("1_OD.jpg", RIGHT, "same")
    reader.add("1_OS.jpg", replace(RIGHT, eye=Eye.LEFT), "same")
    for number, verdict in (("1", "May be in doubt."), ("2", "In doubt.")):
        assert "verdict In doubt." in reader.typed("show", number, as_owner=True)
        text = reader.typed("show", number)
        assert f"verdict {verdict}" in text
        assert "Good enough" not in text
    assert "Find out which eye capture 2 shows" in reader.typed("show", "2")


def test_show_says_that_the_exam_does_not_know_the_eye(reader: Reader) -> None:
    """The files of one photograph name different eyes; the view has the eye of each file."""
    reader.add("1.jpg", RIGHT)
    reader.add("1.dcm", replace(RIGHT, eye=Eye.LEFT))
    for as_owner in (True, False):
        text = reader.typed("show", "2", as_owner=as_owner)
        assert "Eye not known" in text
        assert "Left eye" not in text
        assert "verdict In doubt." in text
        assert "Find out which eye capture 2 shows: the sources disagree." in text


def test_show_says_what_the_model_suggests_of_a_photograph_without_a_doubt(reader: Reader) -> None:
    reader.add("1.jpg")
    for as_owner in (True, False):
        text = reader.typed("show", "1", as_owner=as_owner)
        assert "verdict The model suggests: not referable. No DR" in text
        assert "quality Good enough to grade" in text


def test_show_says_what_is_to_be_done_about_a_referable_photograph(reader: Reader) -> None:
    reader.add("1.jpg", OF_A_TEST, logits=ledger_cases.LOGITS)
    for as_owner in (True, False):
        text = reader.typed("show", "1", as_owner=as_owner)
        assert "The model suggests: referable." in text
        assert "Have a human reader look at it" in text
        assert "Good enough" not in text


def test_show_calls_no_photograph_negative_that_was_replaced(reader: Reader) -> None:
    reader.add("1.jpg", OF_A_TEST, "first")
    reader.add("1.jpg", RIGHT, "second")
    assert "In doubt" in reader.typed("show", "1", as_owner=True)
    text = reader.typed("show", "1")
    assert "verdict Replaced by another file." in text
    assert "Nothing about this file" not in text


def test_show_says_nothing_more_of_an_excluded_photograph(reader: Reader) -> None:
    reader.add("1.jpg", OF_UNKNOWN_EYE)
    reader.add("2.jpg")
    reader.typed("correct", "exclude", "1", "--reason", "test", "--reader", "okafor", as_owner=True)
    for as_owner in (True, False):
        text = reader.typed("show", "1", as_owner=as_owner)
        assert "verdict Excluded by a person." in text
        assert "next One photograph is not a result" in text


def test_show_calls_no_photograph_negative_of_whose_bytes_a_file_was_excluded(
    reader: Reader,
) -> None:
    """It counts for no eye, so the eyes say nothing of it."""
    reader.add("1.jpg", OF_A_TEST, "same")
    exclude = ("correct", "exclude", "1", "--reason", "not_this_patient", "--reader", "okafor")
    reader.typed(*exclude, as_owner=True)
    reader.add("2.jpg", OF_A_TEST, "same")
    reader.add("3.jpg")
    assert "verdict In doubt." in reader.typed("show", "2", as_owner=True)
    text = reader.typed("show", "2")
    assert "verdict May be in doubt." in text
    assert "Good enough" not in text


def test_show_says_nothing_of_the_audit_trail_if_there_is_no_exam_yet(reader: Reader) -> None:
    with closing(Ledger(reader.url, site_key=ledger_cases.SITE_KEY)) as ledger:
        ledger.start(ledger_cases.release())
        ledger.register_camera("room1")
        ledger.admit(replace(ledger_cases.found("1.jpg"), camera_id="room1"))
    text = reader.typed("show", "1")
    assert "Wait for its result" in text
    assert "was shown" not in text
    assert MAY_NOT not in text


def test_no_page_is_written_for_a_role_that_may_not_read_an_exam(
    reader: Reader, tmp_path: Path
) -> None:
    """The page would not be recorded; the photograph alone may be read."""
    reader.add("1.jpg")
    execute(reader.url, GRANT, "REVOKE SELECT ON review FROM nurse")
    page = tmp_path / "page.png"
    ended = reader.command("show", "1", "--out", page, "--config", reader.own)
    assert ended.code == ExitStatus.TEMPORARY
    assert "sudo -u fundusd fundusd" in ended.err
    assert not page.exists()


# -- worklist


@pytest.mark.parametrize(("name", "content", "step"), DOUBTED, ids=DOUBTS)
def test_the_worklist_says_what_reading_cannot_decide(
    reader: Reader, name: str, content: Content, step: str
) -> None:
    reader.add(name, content)
    for as_owner in (True, False):
        text = reader.typed("worklist", as_owner=as_owner)
        assert f" {step} 1 room1" in text
        assert "read 1 room1" not in text
        assert (f"{MAY_NOT}, so" in text) != as_owner


def test_the_worklist_says_that_it_may_not_know_of_every_doubt(reader: Reader) -> None:
    """The views give no reason of an eye that is referable."""
    reader.add("1.jpg", OF_A_TEST, logits=ledger_cases.LOGITS)
    assert " find out whose, read 1 room1" in reader.typed("worklist", as_owner=True)
    text = reader.typed("worklist")
    assert " ?, read 1 room1" in text
    assert f'{MAY_NOT}, so "?" stands' in text
    assert GRANT in text


def test_the_worklist_says_that_an_eye_without_a_doubt_is_to_be_read(reader: Reader) -> None:
    reader.add("1.jpg")
    for as_owner in (True, False):
        text = reader.typed("worklist", as_owner=as_owner)
        assert "confirmation" in text
        assert " read 1 room1" in text
        assert "?, read" not in text


# -- what is left out


@pytest.mark.parametrize(
    ("revoked", "commands"),
    [
        ("REVOKE SELECT ON correction FROM nurse", ["results", "worklist", "show 1"]),
        ("REVOKE SELECT ON incomplete FROM nurse", ["status"]),
    ],
    ids=["correction", "incomplete"],
)
def test_a_role_that_may_read_every_table_but_one_is_told_what_is_left_out(
    reader: Reader, revoked: str, commands: list[str]
) -> None:
    """As after an upgrade that added the table."""
    reader.add("a_OS.jpg", OF_SWAPPED)
    execute(reader.url, GRANT, revoked)
    for command in commands:
        text = reader.typed(*command.split())
        assert f"{MAY_NOT}, so" in text
        assert GRANT in text
        assert "views only" not in text
    execute(reader.url, GRANT)
    for command in ("results", "worklist", "show 1", "status"):
        assert MAY_NOT not in reader.typed(*command.split())


UNSAFE = "By the rule icdr>=2/sum>=0.9, a photograph"


def test_status_warns_of_an_unsafe_rule_as_lists_do(reader: Reader) -> None:
    with closing(Ledger(reader.url, site_key=ledger_cases.SITE_KEY)) as ledger:
        ledger.start(replace(ledger_cases.release(), referable_rule="icdr>=2/sum>=0.9"))
        ledger.register_camera("room1")
        ledger.admit(replace(ledger_cases.found("1.jpg"), camera_id="room1"))
    for as_owner in (True, False):
        for command in ("status", "results"):
            assert UNSAFE in reader.typed(command, as_owner=as_owner)
    facts = reader.command("status", "--json", "--config", reader.own)
    assert "unsafe_rule" not in json.loads(facts.out)
    assert UNSAFE in facts.err

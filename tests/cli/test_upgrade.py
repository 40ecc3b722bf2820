"""fundusd db upgrade says what it has changed."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

from tests import daemon_cases
from tests.cli.test_commands import RunCommand, fundusd
from tests.ledger.test_old_exams import joined_by_the_older_version, older, photograph

from fundusd.domain.clinical_terms import Eye
from fundusd.ledger import Ledger

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["fundusd", "older"]  # fixtures


def test_an_upgrade_prints_what_it_has_changed(
    fundusd: RunCommand, tmp_path: Path, older: Ledger
) -> None:
    place = daemon_cases.site(tmp_path, f"sqlite:///{tmp_path}/old.db")
    (tmp_path / "old.db").touch()
    photograph(older, "r.dcm", Eye.RIGHT, "1.2.3")
    photograph(older, "l.dcm", Eye.LEFT, "1.2.4")
    with closing(Ledger(f"sqlite:///{tmp_path}/old.db")) as ledger:
        joined_by_the_older_version(older, ledger)

    ended = fundusd("db", "upgrade", "--config", place.path)

    assert ended.code == 0, ended.err
    _, judged, regrouped = ended.out.splitlines()
    assert judged == "Exams judged by the rules of this version: 2; changed: 2."
    assert regrouped == "Exams with photographs that belong to other exams now: 1."

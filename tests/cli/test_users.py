"""Users who may only read the database: the group of the service, and a role of PostgreSQL."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa
from tests import daemon_cases, ledger_cases
from tests.cli.test_commands import RunCommand, fundusd
from tests.ledger.test_database_troubles import of, role

from fundusd.domain.errors import ExitStatus
from fundusd.ledger import Ledger, views
from fundusd.reports.terminal_table import NOTHING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["fundusd", "role"]  # fixtures

SERVICE, GROUP = 61001, 61002  # user and group of the service
# root without the rights to read and write everything, as a member of the group
MEMBER = [
    *("setpriv", "--groups", str(GROUP), "--inh-caps=-all"),
    "--bounding-set=-dac_override,-dac_read_search",
]
# a command of root would go on as the service's user, so it is told that it is another's
AS_ANOTHER = (
    "import os, runpy, sys; os.geteuid = lambda: 61003; sys.argv[0] = 'fundusd'; "
    "runpy.run_module('fundusd', run_name='__main__')"
)
BY_VIEWS = {
    "results": "a_OD.jpg",
    "results --camera room1": "graded",
    "worklist": "referable",
    "report quality": "graded",
    "report classes": "moderate",
    "report turnaround": "median",
    "report drift": "moderate",
    "report agreement": NOTHING,
    "review list": "referable",
    "follow-up list": "No follow-up is open.",
    "db check": "The schema is at",
    "status": "1 graded",
    "show 1": "PATIENT-7",
}
LOOKING = BY_VIEWS | {
    "report exam 1": "PATIENT-7",
    "outbox": "No document is waiting",
    "config show": "phantom",
    "audit verify": "The audit chain holds",
}
WRITING = ("person PATIENT-7", "correct exclude 1 --reason test --reader okafor", "db upgrade")


def why_not() -> str | None:
    """Say why no member of a group can be made here."""
    if os.geteuid() != 0 or not shutil.which("setpriv"):
        return "only root, with setpriv, can become a member of a group"
    tried = subprocess.run([*MEMBER, "true"], check=False, capture_output=True)
    return None if tried.returncode == 0 else "no rights can be given up here"


def fill(url: str) -> None:
    """Record a graded capture of a known patient."""
    with closing(Ledger(url, site_key=ledger_cases.SITE_KEY)) as ledger:
        ledger.start(ledger_cases.release())
        ledger.register_camera("room1")
        ledger.admit(replace(ledger_cases.found("a_OD.jpg"), camera_id="room1"))
        ledger.record([ledger_cases.finding(claim) for claim in ledger.claim(1)])


@pytest.fixture
def place(tmp_path: Path, sqlite_url: str) -> daemon_cases.Site:
    """Set up a site whose database is the service's, in a folder that its group may read."""
    state = tmp_path / "state"
    state.mkdir()
    file = Path(shutil.move(sqlite_url.removeprefix("sqlite:///"), state))
    file.with_name("fundusd.db.lock").touch()
    fill(f"sqlite:///{file}")
    hand_over(state)
    return daemon_cases.site(tmp_path, f"sqlite:///{file}")


def hand_over(state: Path) -> None:
    """Make a folder and its files those of the service, as the unit does."""
    for path in (state, *state.iterdir()):
        os.chown(path, SERVICE, GROUP)
        path.chmod(0o750 if path.is_dir() else 0o640)


def database(place: daemon_cases.Site) -> Path:
    return place.folder / "state" / "fundusd.db"


def as_member(place: daemon_cases.Site, command: str) -> subprocess.CompletedProcess[str]:
    """Run a command as a member of the service's group."""
    words: list[str | Path] = [
        *MEMBER,
        *(sys.executable, "-c", AS_ANOTHER),
        *command.split(),
        "--config",
        place.path,
    ]
    return subprocess.run(
        words, check=False, capture_output=True, text=True, env=os.environ | {"COLUMNS": "200"}
    )


@pytest.fixture(params=["running", "stopped", "killed"])
def service(request: pytest.FixtureRequest, place: daemon_cases.Site) -> Iterator[str]:
    """Let the service have the database open, have closed it, or have ended without closing it."""
    if request.param == "killed":
        child = os.fork()
        if child == 0:
            opened(place).register_camera("room2")
            os._exit(0)
        os.waitpid(child, 0)
        hand_over(database(place).parent)
        assert database(place).with_name("fundusd.db-wal").stat().st_size
    if request.param != "running":
        yield request.param
        return
    with closing(opened(place)) as ledger, ledger.held():
        ledger.register_camera("room2")
        hand_over(database(place).parent)
        yield request.param


def opened(place: daemon_cases.Site) -> Ledger:
    return Ledger(f"sqlite:///{database(place)}", site_key=ledger_cases.SITE_KEY)


@pytest.mark.skipif(why_not() is not None, reason=str(why_not()))
def test_a_member_of_the_group_looks_and_changes_nothing(
    place: daemon_cases.Site, service: str
) -> None:
    before = {path.name: path.read_bytes() for path in database(place).parent.iterdir()}
    for command, part in LOOKING.items():
        ended = as_member(place, command)
        assert ended.returncode == ExitStatus.OK, (command, ended.stderr)
        assert part in ended.stdout, command
        is_shown = command in {"show 1", "report exam 1"}
        assert ("does not record that exam 1 was shown" in ended.stderr) == is_shown
    running = "running" if service == "running" else "NOT RUNNING"
    assert running in as_member(place, "status").stdout
    after = {path.name: path.read_bytes() for path in database(place).parent.iterdir()}
    assert after.keys() == before.keys()
    assert after["fundusd.db"] == before["fundusd.db"]


@pytest.mark.skipif(why_not() is not None, reason=str(why_not()))
def test_what_a_member_of_the_group_may_not_do_says_who_may(
    place: daemon_cases.Site, service: str, tmp_path: Path
) -> None:
    pages = (f"show 1 --out {tmp_path}/a.png", f"report exam 1 --pdf {tmp_path}/a.pdf")
    for command in (*WRITING, *pages):
        ended = as_member(place, command)
        assert ended.returncode == ExitStatus.TEMPORARY, (command, ended.stderr)
        message, hint = ended.stderr.splitlines()
        assert "this user may" in message.lower()
        assert "sudo -u fundusd fundusd" in hint
    assert not list(tmp_path.glob("a.*"))


@pytest.mark.skipif(why_not() is not None, reason=str(why_not()))
def test_a_service_to_which_its_files_do_not_belong_is_told_the_command(
    place: daemon_cases.Site, migrated_sqlite: Path
) -> None:
    """As after a backup was restored by root."""
    shutil.copy(migrated_sqlite, database(place))
    hand_over(database(place).parent)
    ended = as_member(place, "run")
    assert ended.returncode == ExitStatus.TEMPORARY
    assert f"chown fundusd: {database(place)}*" in ended.stdout


@pytest.mark.skipif(why_not() is not None, reason=str(why_not()))
def test_a_log_without_its_index_is_called_so_to_a_member_of_the_group(
    place: daemon_cases.Site,
) -> None:
    database(place).with_name("fundusd.db-wal").touch()
    hand_over(database(place).parent)
    ended = as_member(place, "results")
    assert "did not close the database" in ended.stderr
    assert "Start the service" in ended.stderr


@pytest.mark.skipif(why_not() is not None, reason=str(why_not()))
def test_who_is_not_in_the_group_is_told_what_to_do(place: daemon_cases.Site) -> None:
    os.chown(database(place).parent, SERVICE, SERVICE)
    ended = as_member(place, "results")
    assert "This user may not open the database" in ended.stderr
    assert "as a member of its group" in ended.stderr


@pytest.mark.skipif(why_not() is not None, reason=str(why_not()))
def test_reconcile_goes_on_past_a_folder_that_may_not_be_listed(place: daemon_cases.Site) -> None:
    for name in ("closed", "open"):
        (place.inbox / name).mkdir()
        (place.inbox / name / "note.txt").touch()
    os.chown(place.inbox / "closed", SERVICE, SERVICE)
    (place.inbox / "closed").chmod(0o700)
    ended = as_member(place, "reconcile")
    assert ended.returncode == ExitStatus.USAGE
    assert "room1: the folder closed CANNOT BE LISTED (Permission denied)" in ended.stdout
    assert "1 files, 1 accounted for" in ended.stdout
    assert "cannot be listed (room1)" in ended.stderr


@pytest.mark.skipif(why_not() is not None, reason=str(why_not()))
@pytest.mark.parametrize(
    ("closed", "command", "status"),
    [
        ("state", "results", ExitStatus.TEMPORARY),
        ("outer", "results", ExitStatus.TEMPORARY),
        ("fundusd.toml", "results", ExitStatus.CONFIG),
        ("fundusd.toml", "check", ExitStatus.CONFIG),
        ("site.key", "run", ExitStatus.CONFIG),
        ("inbox", "reconcile", ExitStatus.USAGE),
        ("cache", "model prepare", ExitStatus.UNAVAILABLE),
        *((closed, "check", ExitStatus.NO) for closed in ("state", "outer", "site.key", "inbox")),
    ],
)
def test_each_refusal_has_the_status_of_the_page(
    place: daemon_cases.Site,
    monkeypatch: pytest.MonkeyPatch,
    closed: str,
    command: str,
    status: ExitStatus,
) -> None:
    (place.folder / "cache").mkdir()
    (place.folder / "site.key").write_text("8f2c" * 16)
    if closed == "outer":
        (place.folder / closed).mkdir()
        (place.folder / "state").rename(place.folder / closed / "state")
        place.path.write_text(place.path.read_text().replace("/state/", "/outer/state/"))
    os.chown(place.folder / closed, SERVICE, SERVICE)
    (place.folder / closed).chmod(0o700)
    monkeypatch.setenv("CACHE_DIRECTORY", str(place.folder / "cache"))
    ended = as_member(place, command)
    assert ended.returncode == status, ended.stdout + ended.stderr


def starts(file: Path) -> None:
    file.with_name(f"{file.name}-wal").touch()


def starts_and_stops(file: Path) -> None:
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("PRAGMA user_version = 7")
    assert not file.with_name(f"{file.name}-wal").exists()


@pytest.mark.parametrize("service_writes", [starts, starts_and_stops])
def test_what_the_service_begins_while_a_file_at_rest_is_read_is_noticed(
    sqlite_url: str,
    monkeypatch: pytest.MonkeyPatch,
    fundusd: RunCommand,
    tmp_path: Path,
    service_writes: Callable[[Path], None],
) -> None:
    """Nobody but the service writes; as root, the test takes the right to write away."""
    fill(sqlite_url)
    place = daemon_cases.site(tmp_path, sqlite_url)
    may, check = os.access, Ledger.check

    def check_while_the_service_writes(ledger: Ledger) -> str:
        revision = check(ledger)
        service_writes(Path(sqlite_url.removeprefix("sqlite:///")))
        return revision

    monkeypatch.setattr("os.access", lambda path, mode: mode != os.W_OK and may(path, mode))
    monkeypatch.setattr(Ledger, "check", check_while_the_service_writes)
    ended = fundusd("results", "--config", place.path)
    assert ended.code == ExitStatus.TEMPORARY
    assert "wrote to" in ended.err
    assert "Run the command again" in ended.err


def test_the_log_of_a_linked_file_is_read(
    sqlite_url: str, monkeypatch: pytest.MonkeyPatch, fundusd: RunCommand, tmp_path: Path
) -> None:
    """SQLite keeps the log beside the file to which the link leads."""
    fill(sqlite_url)
    link = tmp_path / "linked.db"
    link.symlink_to(sqlite_url.removeprefix("sqlite:///"))
    place = daemon_cases.site(tmp_path, f"sqlite:///{link}")
    may = os.access
    with closing(Ledger(sqlite_url, site_key=ledger_cases.SITE_KEY)) as ledger:
        ledger.register_camera("room2")
        monkeypatch.setattr("os.access", lambda path, mode: mode != os.W_OK and may(path, mode))
        ended = fundusd("status", "--config", place.path)
    assert "room2" in ended.out


def test_who_may_write_after_all_is_not_told_of_the_service(
    sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Their own connection begins a log beside the file."""
    with closing(Ledger(sqlite_url)) as ledger:
        with monkeypatch.context() as patched:
            patched.setattr("os.access", lambda _path, mode: mode != os.W_OK)
            ledger.check()
        ledger.close()
        ledger.check()
        assert Path(f"{sqlite_url.removeprefix('sqlite:///')}-wal").exists()


# -- PostgreSQL


def execute(url: str, *statements: str) -> None:
    with sa.create_engine(url, poolclass=sa.NullPool).begin() as connection:
        for statement in statements:
            connection.exec_driver_sql(statement)


def test_a_role_that_may_read_looks_and_changes_nothing(
    fundusd: RunCommand, tmp_path: Path, postgres_url: str, role: str
) -> None:
    fill(postgres_url)
    execute(postgres_url, f"GRANT SELECT ON ALL TABLES IN SCHEMA public TO {role}")
    place = daemon_cases.site(tmp_path, of(postgres_url, username=role))
    for command, part in LOOKING.items():
        ended = fundusd(*command.split(), "--config", place.path)
        assert ended.code == ExitStatus.OK, (command, ended.err)
        assert part in ended.out, command
        is_shown = command in {"show 1", "report exam 1"}
        assert ("does not record that exam 1 was shown" in ended.err) == is_shown
    for command in WRITING:
        ended = fundusd(*command.split(), "--config", place.path)
        assert ended.code == ExitStatus.TEMPORARY, (command, ended.err)
        assert "sudo -u fundusd fundusd" in ended.err


def test_a_server_that_accepts_no_writes_shows_exams(
    fundusd: RunCommand, tmp_path: Path, postgres_url: str
) -> None:
    """A trigger refuses as a standby does."""
    fill(postgres_url)
    execute(
        postgres_url,
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN RAISE EXCEPTION 'standby' USING ERRCODE = '25006'; END $$",
        "CREATE TRIGGER standby BEFORE INSERT ON audit_event EXECUTE FUNCTION refuse()",
    )
    place = daemon_cases.site(tmp_path, postgres_url)
    for command in ("show 1", "report exam 1"):
        ended = fundusd(*command.split(), "--config", place.path)
        assert ended.code == ExitStatus.OK, (command, ended.err)
        assert "does not record that exam 1 was shown" in ended.err
    ended = fundusd("person", "PATIENT-7", "--config", place.path)
    assert ended.code == ExitStatus.TEMPORARY
    assert "only if the audit trail records it" in ended.err


def test_a_role_that_may_read_the_views_looks_at_them(
    fundusd: RunCommand, tmp_path: Path, postgres_url: str, role: str
) -> None:
    fill(postgres_url)
    names = ", ".join((*views.definitions(), views.DIGEST_VIEW))
    execute(postgres_url, f"GRANT SELECT ON {names} TO {role}")
    place = daemon_cases.site(tmp_path, of(postgres_url, username=role))
    for command, part in BY_VIEWS.items():
        ended = fundusd(*command.split(), "--config", place.path)
        assert ended.code == ExitStatus.OK, (command, ended.err)
        assert part in ended.out, command
        assert ("does not record that exam 1 was shown" in ended.err) == (command == "show 1")
    shown = fundusd("status", "--config", place.path).out
    assert "NOT RUNNING" in shown
    assert "room1" in shown
    assert "may not read every table, so the model at work" in shown
    assert "none used yet" not in shown
    facts = json.loads(fundusd("status", "--json", "--config", place.path).out)
    assert (facts["captures"], facts["results"]) == (1, {"graded": 1})
    assert "model" not in facts
    for command in LOOKING.keys() - BY_VIEWS.keys() - {"config show"}:
        ended = fundusd(*command.split(), "--config", place.path)
        assert ended.code == ExitStatus.TEMPORARY, (command, ended.err)
        assert f'GRANT SELECT ON ALL TABLES IN SCHEMA public TO "{role}"' in ended.err

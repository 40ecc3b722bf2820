"""Commands that root types leave no file of root where the service cannot use it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa
from tests import daemon_cases
from tests.daemon_cases import DEADLINE
from tests.faults.camera import photograph
from tests.service_user_cases import BECOMING, USER, ServiceSite, needs_users, site_of_service

from fundusd.domain.errors import ExitStatus
from fundusd.ledger import Ledger

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = needs_users
COMMANDS = ["status", "check", "db adopt", "retry --failed", "model prepare"]
STARTING = {
    "systemd": ("sh", "-c", 'SYSTEMD_EXEC_PID=$$ exec "$0" "$@"'),
    "container": ("unshare", "--pid", "--fork", "--kill-child"),
}
OTHERS = [
    *("results", "worklist", "reconcile", "check --settings", "config show", "db check"),
    *("db upgrade", "audit verify", "report quality", "outbox", "follow-up list", "show 1"),
]


@pytest.fixture
def place(store_url: str) -> Iterator[ServiceSite]:
    with site_of_service(store_url) as made:
        if store_url.startswith("postgresql"):  # the server lets only its own user in
            Path(str(sa.make_url(store_url).query["host"])).chmod(0o711)
        yield made


@pytest.fixture
def sqlite_place(sqlite_url: str) -> Iterator[ServiceSite]:
    with site_of_service(sqlite_url) as made:
        yield made


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_of_root_runs_as_the_user_of_the_service(
    place: ServiceSite, command: str
) -> None:
    ended = place.by_root(*command.split())
    assert f"fundusd: running as #{USER}, the owner of {place.folder}" in ended.stderr
    assert ended.returncode == ExitStatus.OK, ended.stdout + ended.stderr
    assert place.not_of_service() == []


@pytest.mark.all_faults
@pytest.mark.parametrize("command", OTHERS)
def test_no_command_of_root_leaves_a_file_of_root(sqlite_place: ServiceSite, command: str) -> None:
    ended = sqlite_place.by_root(*command.split())
    assert f"fundusd: running as #{USER}" in ended.stderr
    assert ended.returncode == (ExitStatus.USAGE if command == "show 1" else ExitStatus.OK)
    assert sqlite_place.not_of_service() == []


def test_a_command_of_root_works_from_where_only_root_may_read(sqlite_place: ServiceSite) -> None:
    """As from the virtual environment of a developer, whose Python is in the home of root."""
    for command in ("db upgrade", "check", "status"):
        ended = sqlite_place.by_root(*command.split(), python=sys.executable)
        assert ended.returncode == ExitStatus.OK, ended.stdout + ended.stderr
    assert sqlite_place.not_of_service() == []


def test_the_first_command_of_root_leaves_a_database_for_the_service(tmp_path: Path) -> None:
    """Nothing is there yet: the folder alone tells whose it will be."""
    (tmp_path / "none.db").touch()
    with site_of_service(f"sqlite:///{tmp_path}/none.db") as place:
        (place.folder / "fundusd.db").unlink()
        ended = place.by_root("db", "upgrade")
        assert ended.returncode == ExitStatus.OK, ended.stderr
        assert (place.folder / "fundusd.db").stat().st_mode & 0o777 == 0o640
        assert place.not_of_service() == []
        with place.running() as daemon:
            daemon.await_event("service.ready")
            assert daemon.stop() == 0


def test_a_service_that_root_starts_by_hand_works_as_its_user(place: ServiceSite) -> None:
    daemon_cases.drop(place, "1_OD.jpg", photograph(0))
    with place.running(by_root=True) as daemon:
        daemon.await_event("capture.graded")
        assert daemon.stop(signal.SIGTERM) == 0
    (place.inbox / "1_OD.jpg").unlink()  # the camera's
    assert place.not_of_service() == []


@pytest.mark.parametrize("starting", STARTING)
def test_a_service_that_systemd_or_a_container_starts_as_root_stays_root(
    sqlite_place: ServiceSite, starting: str
) -> None:
    """As with User=root in the unit, although the folder of the database is another user's."""
    cache = str(sqlite_place.folder / "cache")
    under = (*STARTING[starting], str(sqlite_place.python))
    if subprocess.run([*STARTING[starting], "true"], check=False, capture_output=True).returncode:
        pytest.skip("new namespaces are not allowed here")
    with daemon_cases.running(sqlite_place, under, CACHE_DIRECTORY=cache) as daemon:
        pid = daemon.process.pid
        daemon.await_event("service.ready")
        if starting == "container":
            pid = int(Path(f"/proc/{pid}/task/{pid}/children").read_text())
        assert Path(f"/proc/{pid}").stat().st_uid == 0
        os.kill(pid, signal.SIGTERM)
        assert daemon.process.wait(DEADLINE) == 0


@pytest.mark.parametrize(
    "name", ["fundusd.db", "fundusd.db-wal", "fundusd.db-shm", "fundusd.db.lock"]
)
def test_a_file_of_root_that_is_in_the_way_is_named_with_its_owner(
    sqlite_url: str, name: str
) -> None:
    with site_of_service(sqlite_url) as place:
        held = Ledger(f"sqlite:///{place.folder}/fundusd.db")
        held.check()  # while it is open, there are files beside the database
        held.is_held()
        in_the_way = place.folder / name
        in_the_way.touch()
        os.chown(in_the_way, 0, 0)
        in_the_way.chmod(0o640)
        with place.running() as daemon:
            failed = daemon.await_event("service.failed")
            assert f"{in_the_way} belongs to root, and user #{USER} may not" in failed["error"]
            assert f"sudo chown --reference={place.folder} {in_the_way}" in failed["hint"]
            assert daemon.process.wait(DEADLINE) == ExitStatus.TEMPORARY
        checked = place.by_root("check")
        assert checked.returncode == ExitStatus.NO
        assert f"WRONG database: {in_the_way} belongs to root" in checked.stdout
        held.close()


@pytest.mark.parametrize("name", ["site.key", "cache/prepared"])
def test_a_key_or_cache_of_root_is_named_with_its_owner(
    sqlite_place: ServiceSite, name: str
) -> None:
    in_the_way = sqlite_place.folder / name
    if name == "site.key":
        in_the_way.write_text("8f2c" * 16)
        in_the_way.chmod(0o400)
    else:
        in_the_way.mkdir()
    with sqlite_place.running() as daemon:
        failed = daemon.await_event("service.failed")
        assert f"belongs to root, and user #{USER} may not" in failed["error"]
        recursive = "-R " if in_the_way.is_dir() else ""
        command = f"sudo chown {recursive}--reference={in_the_way.parent} {in_the_way}"
        assert command in failed["hint"]


@pytest.mark.parametrize("is_there", [False, True])
def test_no_folder_of_root_is_given_to_the_service(
    sqlite_place: ServiceSite, *, is_there: bool
) -> None:
    """Only the cache folder itself is, even if it would have to be made in a folder of root."""
    cache = sqlite_place.folder / "closed" / "cache"
    (cache if is_there else cache.parent).mkdir(parents=True)
    with daemon_cases.running(
        sqlite_place, (*BECOMING, str(sqlite_place.python)), CACHE_DIRECTORY=str(cache)
    ) as daemon:
        failed = daemon.await_event("service.failed")
    assert "belongs to root" in failed["error"]
    assert f"sudo install -d -o {USER} -m 750 {cache}" in failed["hint"]
    assert "chown" not in failed["hint"]


def test_a_cache_that_is_closed_to_its_own_user_is_opened(sqlite_place: ServiceSite) -> None:
    prepared = sqlite_place.folder / "cache" / "prepared"
    prepared.mkdir()
    os.chown(prepared, USER, USER)
    prepared.chmod(0o500)
    with sqlite_place.running() as daemon:
        failed = daemon.await_event("service.failed")
    assert failed["hint"] == f"Give its owner the right back: chmod u+rwX {prepared}"


@pytest.mark.parametrize("closed", ["cache", "cache/prepared"])
def test_the_cache_of_the_service_is_given_to_nobody_else(
    sqlite_place: ServiceSite, closed: str
) -> None:
    """As if a member of the group set CACHE_DIRECTORY to it for `fundusd model prepare`."""
    cache = sqlite_place.folder / "cache"
    (cache / "prepared").mkdir()
    os.chown(cache / "prepared", USER, USER)
    (sqlite_place.folder / closed).chmod(0o750)
    another = ("setpriv", f"--reuid={USER + 1}", f"--regid={USER}", "--clear-groups")
    command = [*another, str(sqlite_place.python), "-m", "fundusd", "model", "prepare"]
    ended = subprocess.run(
        [*command, "--config", str(sqlite_place.path)],
        env={**os.environ, "CACHE_DIRECTORY": str(cache)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == ExitStatus.UNAVAILABLE
    assert f"belongs to #{USER}, and user #{USER + 1} may not write to it" in ended.stderr
    assert f"run the command as that user (sudo -u '#{USER}' fundusd ...)" in ended.stderr
    assert "install" not in ended.stderr
    assert "chown" not in ended.stderr

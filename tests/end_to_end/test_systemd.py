"""The shipped unit under a real systemd: start, a capture, a crash, a clean stop."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import time
import venv
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests import daemon_cases
from tests.end_to_end.test_packaging import commands

from fundusd.domain.clinical_terms import Eye, Grade

ROOT = Path(__file__).parents[2]
BOOT = Path(__file__).with_name("boot_systemd.sh")
SETTINGS = """\
[model]
source = "phantom"
[intake]
quiet_seconds = 0.2
[[camera]]
id = "room1"
inbox = "/srv/inbox"
"""


# as pip writes it; without the guard, a process spawned by multiprocessing would run it again
SCRIPT = """\
#!/opt/fundusd/bin/python3
import sys
from fundusd.cli import main
if __name__ == "__main__":
    sys.exit(main())
"""
CHECKOUT = "/opt/checkout"  # /tmp, where the tests may run, is another one inside
# the README's installation, without what needs a network; the environment is bound ready-made
_LEFT_OUT = ("python3 -m venv", "pip install", "model download")
STEPS = [
    step
    for step in commands("Installation as a service")
    if not any(words in step for words in _LEFT_OUT)
]
SUDO = """\
sudo() {
  [ "$1" = -u ] || { "$@"; return; }
  user=$2; shift 2
  runuser -u "$user" -- env LD_LIBRARY_PATH=/opt/python/lib "$@"
}"""
LIBRARIES = "LD_LIBRARY_PATH=/opt/python/lib"
# an interpreter looks for its shared library where it was installed, which ProtectHome= may hide
DROP_IN = "[Service]\nEnvironment=LD_LIBRARY_PATH=/opt/python/lib\n"


def why_not() -> str | None:
    """Say why a systemd cannot be booted here."""
    if os.geteuid() != 0:
        return "booting a systemd needs root"
    if not Path("/lib/systemd/systemd").exists():
        return "this machine has no systemd"
    if " cgroup2 " not in Path("/proc/mounts").read_text():
        return "there is no cgroup2 mount"
    tried = subprocess.run(
        ["unshare", "--mount", "--pid", "--fork", "true"], check=False, capture_output=True
    )
    return None if tried.returncode == 0 else "new namespaces are not allowed here"


pytestmark = pytest.mark.skipif(why_not() is not None, reason=str(why_not()))


def install(folder: Path) -> str:
    """Install the wheel into a virtual environment for /opt/fundusd; return what to bind where.

    Its libraries are those of the environment that runs the tests, bound to /opt/libraries:
    installing torch again would take minutes. The interpreter is bound too, because the service may
    not see /root.
    """
    source = folder / "source"
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True
    ).stdout
    for name in filter(None, listed.decode().split("\0")):
        if (ROOT / name).is_file():
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, source / name)
    command = [
        sys.executable,
        "-m",
        "build",
        "--wheel",
        "--no-isolation",
        "--outdir",
        str(folder),
        str(source),
    ]
    subprocess.run(command, check=True, capture_output=True)
    target = folder / "fundusd"
    venv.create(target, symlinks=True)
    packages = next((target / "lib").glob("python3.*/site-packages"))
    zipfile.ZipFile(next(folder.glob("*.whl"))).extractall(packages)
    (packages / "libraries.pth").write_text("/opt/libraries\n")
    for link in (target / "bin").glob("python*"):
        link.unlink()
    (target / "bin" / "python3").symlink_to("/opt/python/bin/python3")
    script = target / "bin" / "fundusd"
    script.write_text(SCRIPT)
    script.chmod(0o755)
    configuration = target / "pyvenv.cfg"
    configuration.write_text(
        configuration.read_text().replace(str(Path(sys.base_prefix)), "/opt/python")
    )
    libraries = next(path for path in sys.path if path.endswith("site-packages"))
    return (
        f"{target}:/opt/fundusd {sys.base_prefix}:/opt/python {libraries}:/opt/libraries"
        f" {source}:{CHECKOUT}"
    )


class Machine:
    """A booted systemd, and how to do things in it."""

    def __init__(self, name: str) -> None:
        self.name = name

    def do(self, *words: str, given: bytes = b"") -> str:
        command = [str(BOOT), "sh", self.name, *words]
        done = subprocess.run(command, check=False, capture_output=True, input=given)
        assert done.returncode == 0, f"{words}: {done.stderr.decode()} {self.journal()}"
        return done.stdout.decode()

    def journal(self) -> str:
        command = [str(BOOT), "sh", self.name, "journalctl", "--no-pager", "-n", "40", "-o", "cat"]
        return subprocess.run(command, check=False, capture_output=True, text=True).stdout

    def write(self, path: str, data: bytes) -> None:
        self.do("sh", "-c", f"cat > {path}", given=data)

    def shown(self, name: str) -> str:
        return self.do("systemctl", "show", "-P", name, "fundusd").strip()

    def await_that(self, condition: Callable[[], bool]) -> None:
        """Wait for a condition; each look starts a process, so this does not spin."""
        deadline = time.monotonic() + daemon_cases.DEADLINE
        while not condition():
            assert time.monotonic() < deadline, self.journal()

    def results(self) -> list[dict[str, object]]:
        rows: list[dict[str, object]] = json.loads(
            self.do("/opt/fundusd/bin/fundusd", "results", "--json")
        )
        return rows


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    name = f"fundusd-test-{os.getpid()}"
    environment = os.environ | {"BINDS": install(tmp_path)}
    with contextlib.ExitStack() as stack:
        stack.callback(subprocess.run, [str(BOOT), "down", name], check=False, capture_output=True)
        up = subprocess.run(
            [str(BOOT), "up", name], check=False, capture_output=True, env=environment, text=True
        )
        assert up.returncode == 0, up.stdout + up.stderr
        yield Machine(name)


def follow(machine: Machine, step: str) -> str:
    """Run a step of the README's installation, in this checkout."""
    return machine.do("sh", "-c", f"{SUDO}\ncd {CHECKOUT} && {step}")


def set_up(machine: Machine, settings: str) -> None:
    """Install unit, user and settings by the README's own steps."""
    machine.do("mkdir", "-p", "/srv/inbox", "/etc/systemd/system/fundusd.service.d")
    machine.write("/etc/systemd/system/fundusd.service.d/interpreter.conf", DROP_IN.encode())
    for step in STEPS:
        if "fundusd/bin" not in step and "enable" not in step:
            follow(machine, step)
    machine.write("/etc/fundusd/fundusd.toml", settings.encode())


def test_the_shipped_unit_grades_a_capture_survives_a_kill_and_stops_cleanly(
    machine: Machine,
) -> None:
    set_up(machine, SETTINGS)
    check, enable, status = (step for step in STEPS if "fundusd/bin" in step or "enable" in step)
    assert "WRONG" not in follow(machine, check)
    follow(machine, enable)  # returns when READY=1 came
    assert "running" in follow(machine, status)

    machine.write("/srv/inbox/first_OD.jpg", daemon_cases.jpeg(Grade.PDR))
    machine.await_that(lambda: [row["outcome"] for row in machine.results()] == ["graded"])
    assert machine.results()[0]["eye"] == "R"
    lines = machine.do("journalctl", "--no-pager", "-t", "fundusd", "-o", "cat").splitlines()
    events = [json.loads(line)["event"] for line in lines if line.startswith("{")]
    assert {"service.started", "service.ready", "capture.graded"} <= set(events)

    machine.do("systemctl", "kill", "-s", "KILL", "fundusd")
    machine.write("/srv/inbox/second_OS.jpg", daemon_cases.jpeg(Grade.NO_DR, Eye.LEFT, seed=2))
    machine.await_that(
        lambda: len([row for row in machine.results() if row["outcome"] == "graded"]) == 2
    )
    assert machine.shown("NRestarts") == "1"

    machine.do("systemctl", "stop", "fundusd")
    assert machine.shown("Result") == "success"
    assert machine.shown("ExecMainStatus") == "0"
    assert "service.stopped" in machine.do("journalctl", "--no-pager", "-t", "fundusd", "-o", "cat")
    assert "The audit chain holds" in machine.do("/opt/fundusd/bin/fundusd", "audit", "verify")


def test_a_reload_with_wrong_settings_fails_and_the_service_goes_on(machine: Machine) -> None:
    set_up(machine, SETTINGS)
    follow(machine, next(step for step in STEPS if "enable" in step))
    machine.do("systemctl", "reload", "fundusd")
    machine.write("/etc/fundusd/fundusd.toml", b"[nonsense]\n")
    refused = machine.do("sh", "-c", "systemctl reload fundusd || echo refused")
    assert refused.strip() == "refused"
    assert machine.shown("ActiveState") == "active"
    errors = machine.do(
        "journalctl", "--no-pager", "-t", "fundusd", "-p", "err", "-o", "cat", "--since", "-1min"
    )
    assert "nonsense" in errors


def test_commands_of_root_have_the_user_the_groups_and_the_folders_of_the_unit(
    machine: Machine,
) -> None:
    set_up(machine, SETTINGS)
    machine.do("sh", "-c", "groupadd camera && chgrp camera /srv/inbox && chmod 750 /srv/inbox")
    refused = machine.do("sh", "-c", "/opt/fundusd/bin/fundusd check 2>&1 || true")
    assert "WRONG inbox of room1: cannot be listed by user fundusd" in refused
    groups = b"[Service]\nSupplementaryGroups=camera\n"
    machine.write("/etc/systemd/system/fundusd.service.d/groups.conf", groups)
    machine.do("systemctl", "daemon-reload")
    for command in ("check", "db upgrade", "model prepare", "status"):
        printed = machine.do("sh", "-c", f"{LIBRARIES} /opt/fundusd/bin/fundusd {command} 2>&1")
        assert "fundusd: running as fundusd, the user of fundusd.service" in printed
        assert "WRONG" not in printed
    machine.do("test", "-d", "/var/cache/fundusd/prepared")
    folders = ("/var/lib/fundusd", "/var/cache/fundusd")
    assert machine.do("find", *folders, "!", "-user", "fundusd") == ""
    follow(machine, next(step for step in STEPS if "enable" in step))


def test_wrong_settings_keep_the_unit_down(machine: Machine) -> None:
    set_up(machine, "[nonsense]\n")
    machine.do("sh", "-c", "systemctl start fundusd || true")
    assert machine.shown("ExecMainStatus") == "78"
    assert machine.shown("NRestarts") == "0"

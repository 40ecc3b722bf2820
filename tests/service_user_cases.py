"""A site whose files belong to the user of the service, while root types commands."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests import daemon_cases

import fundusd

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager

USER = 23456  # without an entry in the user database, as is common in containers


def may_be_entered(path: Path) -> bool:
    """Return whether every user may reach a file."""
    return all(folder.stat().st_mode & 0o001 for folder in path.resolve().parents)


def base_interpreter() -> Path | None:
    """Return a Python of this version that other users than root may run."""
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    for program in (Path(sys.executable).resolve(), Path(f"/usr/bin/python{version}")):
        if program.exists() and may_be_entered(program):
            return program
    return None


def why_not() -> str:
    """Say why no process can run as another user here."""
    if os.geteuid() != 0:
        return "only root may become another user"
    if base_interpreter() is None or not may_be_entered(Path(fundusd.__file__)):
        return "other users may not run this Python or read this checkout"
    return ""


needs_users = pytest.mark.skipif(bool(why_not()), reason=why_not())
BECOMING = ("setpriv", f"--reuid={USER}", f"--regid={USER}", "--clear-groups")


def _install(folder: Path) -> Path:
    """Make an environment with the packages of this one, and return its interpreter."""
    base = base_interpreter()
    assert base is not None
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    packages = folder / "lib" / version / "site-packages"
    packages.mkdir(parents=True)
    paths = [str(Path(fundusd.__file__).parents[1]), sysconfig.get_paths()["purelib"]]
    (packages / "paths.pth").write_text("\n".join(paths))
    (folder / "pyvenv.cfg").write_text(f"home = {base.parent}\n")
    (folder / "bin").mkdir()
    (folder / "bin" / "python3").symlink_to(base)
    return folder / "bin" / "python3"


@dataclass(frozen=True)
class ServiceSite(daemon_cases.Site):
    """A clinic whose files belong to the user of the service, and the Python of the service."""

    python: Path

    @property
    def environment(self) -> dict[str, str]:
        """Return the variables that the service and its commands have in common."""
        cache = str(self.folder / "cache")
        # a login shell has inherited these from the service that asked for the password
        inherited = {"INVOCATION_ID": "a" * 32, "SYSTEMD_EXEC_PID": str(os.getpid())}
        return {"CACHE_DIRECTORY": cache, "OMP_NUM_THREADS": "1", **inherited}

    def running(self, *, by_root: bool = False) -> AbstractContextManager[daemon_cases.Daemon]:
        """Run the service as its user, or as root would by hand."""
        under = (str(self.python),) if by_root else (*BECOMING, str(self.python))
        return daemon_cases.running(self, under, **self.environment)

    def by_root(self, *words: str, python: str = "") -> subprocess.CompletedProcess[str]:
        """Run a command as `sudo fundusd` does."""
        command = [python or str(self.python), "-m", "fundusd", *words, "--config", str(self.path)]
        env = {**os.environ, **self.environment}
        return subprocess.run(command, env=env, capture_output=True, text=True, check=False)

    def not_of_service(self) -> list[str]:
        """Return the files of the site that the service's user does not own."""
        files = (self.folder, *self.folder.rglob("*"))
        return [str(path.relative_to(self.folder)) for path in files if path.lstat().st_uid != USER]


@contextmanager
def site_of_service(url: str) -> Iterator[ServiceSite]:
    """Set up a clinic whose files all belong to the user of the service.

    Its folder is not in pytest's, which other users may not enter. A SQLite database is copied into
    it.
    """
    folder = Path(tempfile.mkdtemp(prefix="fundusd-service-"))
    try:
        if url.startswith("sqlite"):
            shutil.copy(url.removeprefix("sqlite:///"), folder / "fundusd.db")
            url = f"sqlite:///{folder}/fundusd.db"
        place = daemon_cases.site(folder, url)
        for name in ("cache", "documents"):
            (folder / name).mkdir()
        folder.chmod(0o755)
        python = _install(folder / "python")
        for path in (folder, *folder.rglob("*")):
            os.chown(path, USER, USER, follow_symlinks=False)
        yield ServiceSite(place.folder, place.path, python)
    finally:
        shutil.rmtree(folder)

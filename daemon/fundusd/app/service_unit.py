"""Ask systemd for the unit that runs fundusd with a settings file: its user, groups and folders."""

from __future__ import annotations

import grp
import os
import shlex
import subprocess
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from fundusd.app.settings_file import DEFAULT_FILE
from fundusd.files.owners import user_name

if TYPE_CHECKING:
    from collections.abc import Mapping

PROPERTIES = (
    "LoadState,User,Group,SupplementaryGroups,StateDirectory,CacheDirectory,Environment,"
    "PrivateNetwork,ProtectSystem,ReadWritePaths"
)
_FOLDERS = {"StateDirectory": Path("/var/lib"), "CacheDirectory": Path("/var/cache")}
_VARIABLES = {"StateDirectory": "STATE_DIRECTORY", "CacheDirectory": "CACHE_DIRECTORY"}
_MODEL_CACHE = "HF_HOME"  # the only variable of the unit that changes what a command finds
SHIPPED_CACHE = Path("/var/cache/fundusd")  # of fundusd.service
_SECONDS = 10
UMASK = 0o027  # UMask= of the units


@dataclass(frozen=True, slots=True)
class Unit:
    """What the unit says about the service's user; empty if there is no such unit."""

    name: str = ""
    user: str = ""
    groups: tuple[int, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    lacks_network: bool = False
    writable: tuple[Path, ...] = (Path("/"),)
    group: int | None = None  # if it is not the user's own

    def lets_write(self, folder: Path) -> bool:
        """Return whether the service may write to a folder, if its user may.

        False is not certain, because other settings of a unit may make a folder writable, too.
        """
        real = folder.resolve()
        return any(real.is_relative_to(path.resolve()) for path in self.writable)

    def set_environment(self) -> None:
        """Set the variables of the unit that this process does not have."""
        for name, value in self.environment.items():
            os.environ.setdefault(name, value)


def act_as_the_unit_does(file: Path) -> None:
    """Let a command of the service's user find the folders and make files as the service does.

    The unit sets variables and the umask, `sudo -u fundusd` does not; with the umask of some
    administrators, the service's group could not read the files.
    """
    unit = unit_of(file)
    if not unit.name:
        unit = shipped_unit(os.geteuid())
    if unit.user in {user_name(os.geteuid()), str(os.geteuid())}:
        unit.set_environment()
        os.umask(UMASK)


def unit_of(file: Path) -> Unit:
    """Return the unit whose service reads a settings file.

    /etc/fundusd/fundusd.toml belongs to fundusd.service, and any other NAME.toml in this folder to
    fundusd@NAME.service.
    """
    if file.absolute().parent != DEFAULT_FILE.parent:
        return Unit()
    is_default = file.name == DEFAULT_FILE.name
    name = "fundusd.service" if is_default else f"fundusd@{file.stem}.service"
    command = ["systemctl", "show", f"--property={PROPERTIES}", "--", name]
    try:
        answer = subprocess.run(
            command, capture_output=True, text=True, timeout=_SECONDS, check=True
        )
    except (OSError, subprocess.SubprocessError):  # no systemd here
        return Unit()
    return read(name, answer.stdout)


def shipped_unit(uid: int) -> Unit:
    """Return what the unit that fundusd ships says, if the cache of its service is this user's.

    This is for a site whose unit was changed to read settings elsewhere than in /etc/fundusd.
    """
    with suppress(OSError):
        if SHIPPED_CACHE.stat().st_uid == uid:
            cache = str(SHIPPED_CACHE)
            environment = {"CACHE_DIRECTORY": cache, _MODEL_CACHE: f"{cache}/hf"}
            return Unit(user=str(uid), environment=environment)
    return Unit()


def read(name: str, properties: str) -> Unit:
    """Return the unit that `systemctl show` describes."""
    values = {}
    for line in properties.splitlines():
        key, _, value = line.partition("=")
        values[key] = value
    if values.get("LoadState") != "loaded":
        return Unit()
    writable, environment = [], {}
    for key, parent in _FOLDERS.items():
        if folders := values.get(key, "").split():
            environment[_VARIABLES[key]] = str(parent / folders[0])
            writable += [parent / folder for folder in folders]
    try:
        assignments = shlex.split(values.get("Environment", ""))
    except ValueError:  # a quotation mark that is not closed
        assignments = []
    for assignment in assignments:
        variable, _, value = assignment.partition("=")
        if variable == _MODEL_CACHE:
            environment[variable] = value
    # a path in ReadWritePaths= may begin with "-" (it need not exist) or "+" (below RootDirectory=)
    writable += [Path(path.lstrip("-+")) for path in values.get("ReadWritePaths", "").split()]
    group = _group_ids(values.get("Group", ""))
    return Unit(
        name,
        values.get("User", ""),
        _group_ids(values.get("SupplementaryGroups", "")),
        environment,
        lacks_network=values.get("PrivateNetwork") == "yes",
        writable=tuple(writable) if values.get("ProtectSystem") == "strict" else (Path("/"),),
        group=group[0] if group else None,
    )


def _group_ids(names: str) -> tuple[int, ...]:
    ids = []
    for name in names.split():
        with suppress(KeyError):
            ids.append(int(name) if name.isdecimal() else grp.getgrnam(name).gr_gid)
    return tuple(ids)

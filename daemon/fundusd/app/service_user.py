"""Let a command that root has started run as the user that the service runs as.

What root creates in the service's folders, such as a lock, a database or a key, the service could
not use.
"""

from __future__ import annotations

import getpass
import importlib
import os
import pkgutil
import pwd
import shlex
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import fundusd
from fundusd.app import service_unit
from fundusd.domain.errors import RequestError
from fundusd.files.owners import user_name

if TYPE_CHECKING:
    from collections.abc import Iterable

    from fundusd.app.service_unit import Unit
    from fundusd.app.settings import Settings

_ROOT = 0
_ROOT_NAMES = ("", "root", "0")  # in a unit
_CACHES = ("CACHE_DIRECTORY", "HF_HOME")
_STARTED_ALONE = ("__main__", "decoder_process")  # modules that are programs
_OTHERS_MAY_ENTER = 0o001


@dataclass(frozen=True, slots=True)
class _User:
    """A user that need not have an entry in the user database."""

    name: str
    uid: int
    gid: int
    groups: tuple[int, ...]
    home: str
    reason: str  # why this is the user of the service


def become(settings: Settings, file: Path) -> str:
    """Give up the rights of root for those of the service's user, and return a phrase about it.

    The service's user is the one in the unit that runs with the settings in `file` or, if there is
    none, the owner of the database, of the site key, or of their folders. If this is root, the user
    is not changed, and the phrase is empty. Raises RequestError if the system does not allow the
    change.
    """
    unit = service_unit.unit_of(file)
    unit.set_environment()
    _act_for_the_service()
    if unit.name and unit.user in _ROOT_NAMES:
        return ""
    places = [settings.privacy.site_key_file, settings.privacy.site_key_file.parent]
    database = settings.store.sqlite_file
    if database is not None:
        places = [database, database.parent, *places]
    return _change_if_needed(_user_of(unit) or _owner(places, unit.groups), unit)


def become_owner_of_caches(file: Path) -> str:
    """Do the same for a command that reads no settings, and writes only to folders for models.

    `file` is the settings file that it would read.
    """
    unit = service_unit.unit_of(file)
    unit.set_environment()
    _act_for_the_service()
    caches = [Path(os.environ[name]) for name in _CACHES if os.environ.get(name)]
    return _change_if_needed(_owner(caches or [service_unit.SHIPPED_CACHE], unit.groups), unit)


def _change_if_needed(user: _User | None, unit: Unit) -> str:
    if not unit.name:
        service_unit.shipped_unit(_ROOT if user is None else user.uid).set_environment()
    return "" if user is None else _change_to(user)


def _act_for_the_service() -> None:
    """Set the umask of the service, and let the audit trail name who has started the command.

    With the umask of root, everybody could read the database; sudo sets LOGNAME to root.
    """
    os.umask(service_unit.UMASK)
    os.environ["LOGNAME"] = os.environ.get("SUDO_USER") or getpass.getuser()


def _owner(places: Iterable[Path], groups: tuple[int, ...]) -> _User | None:
    """Return the first owner of these files and folders that is not root."""
    for place in places:
        try:
            status = place.stat()
        except OSError:
            continue
        if status.st_uid != _ROOT:
            return _user(status.st_uid, status.st_gid, groups, f"the owner of {place}")
    return None


def _user_of(unit: Unit) -> _User | None:
    try:
        numeric = unit.user.isdecimal()
        entry = pwd.getpwuid(int(unit.user)) if numeric else pwd.getpwnam(unit.user)
    except KeyError:
        return None
    gid = entry.pw_gid if unit.group is None else unit.group
    return _of_entry(entry, gid, unit.groups, f"the user of {unit.name}")


def _user(uid: int, gid: int, groups: tuple[int, ...], reason: str) -> _User:
    try:
        entry = pwd.getpwuid(uid)
    except KeyError:
        return _User(user_name(uid), uid, gid, groups, os.devnull, reason)
    return _of_entry(entry, entry.pw_gid, groups, reason)


def _of_entry(entry: pwd.struct_passwd, gid: int, groups: tuple[int, ...], reason: str) -> _User:
    own = os.getgrouplist(entry.pw_name, gid)
    home = entry.pw_dir or os.devnull
    return _User(entry.pw_name, entry.pw_uid, gid, (*own, *groups), home, reason)


def _change_to(user: _User) -> str:
    is_readable = _is_readable_by_others()
    if not is_readable:
        _import_everything()
    try:
        os.setgroups(user.groups)
        os.setgid(user.gid)
        os.setuid(user.uid)
    except OSError as error:
        command = shlex.join(["sudo", "-u", user.name, "fundusd", *sys.argv[1:]])
        raise RequestError(
            f"This command has to run as {user.name}, {user.reason}, and the system does not let"
            f" it change to that user ({error.strerror}).",
            hint=f"Run it as that user: {command}",
        ) from None
    os.environ["HOME"] = user.home
    phrase = f"running as {user.name}, {user.reason}"
    return phrase if is_readable else f"{phrase}, who cannot read this installation of fundusd"


def _is_readable_by_others() -> bool:
    """Return whether Python and fundusd are installed where not only root may read."""
    for file in (os.__file__, fundusd.__file__):
        for folder in Path(file).resolve().parents:
            if not folder.stat().st_mode & _OTHERS_MAY_ENTER:
                return False
    return True


def _import_everything() -> None:
    """Import all modules while they can be read.

    Only developers install fundusd where a service could not start. Most commands work there, but
    none that starts other processes.
    """
    for module in pkgutil.walk_packages(fundusd.__path__, "fundusd."):
        if not module.name.endswith(_STARTED_ALONE):
            with suppress(ImportError):  # a library that not everybody installs, such as OpenVINO
                importlib.import_module(module.name)

"""Check what the machine gives the daemon: a device, folders for documents, and space on disks."""

from __future__ import annotations

import os
import shutil
import stat
from pathlib import Path
from typing import TYPE_CHECKING

from fundusd.app.check_result import CheckResult
from fundusd.app.factory import model_choice
from fundusd.files.owners import closing
from fundusd.model import device

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fundusd.app.settings import ReceiverSettings, Settings

_DRIVER = Path("/proc/driver/nvidia/version")
_GIB = 1024**3
_ACL = "system.posix_acl_access"  # its extended attribute
_ENOUGH_SPACE = 256 * 1024**2  # bytes, for the database and its write-ahead log


def device_verdict(settings: Settings) -> str:
    """Return a phrase that names the device on which `run` will compute, and its driver.

    Raises SettingsError or ModelError, as `run` would, if there is no such device.
    """
    choice = model_choice(settings)
    runtime = device.candidates(choice)[0]
    verdict = f"{runtime.device} ({runtime.device_name}), {runtime.dtype}, "
    verdict += f"{runtime.backend} {runtime.version}"
    if runtime.device.startswith("cuda"):
        return f"{verdict}, {_driver()}"
    if problem := device.unused_gpu(choice, runtime):
        return f"{verdict}; there is a GPU, but torch cannot use it ({problem})"
    return verdict


def _driver() -> str:
    try:
        words = _DRIVER.read_text(encoding="ascii", errors="replace").split()
    except OSError:
        return "driver not known"
    numbers = [word for word in words if word[0].isdigit() and "." in word]
    return f"driver {numbers[0]}" if numbers else "driver not known"


def secrets_of_group(settings: Settings) -> Iterator[CheckResult]:
    """Yield a warning for each key or secret that the group may read, as people who look may."""
    files = [settings.privacy.site_key_file]
    if settings.store.password_file:
        files.append(Path(settings.store.password_file))
    for receiver in settings.receiver:
        files += filter(None, (receiver.token_file, receiver.oauth_secret_file))
    for file in dict.fromkeys(files):  # two receivers may share a token
        if _is_open_to_group(file):
            yield CheckResult(
                f"rights of {file}",
                ok=True,
                verdict="its group can read it",
                hint=f"Let only the user that fundusd runs as read it: {closing(file)}",
                is_warning=True,
            )


def _is_open_to_group(file: Path) -> bool:
    """Return whether the group may read a file; if it has an ACL, the mode does not tell."""
    try:
        return bool(file.stat().st_mode & stat.S_IRGRP) and _ACL not in os.listxattr(file)
    except OSError:
        return False


def folder_problem(receiver: ReceiverSettings) -> str:
    """Return why documents cannot be written into a receiver's folder, or "" if they can."""
    folder = receiver.folder
    if folder is None or (os.access(folder, os.W_OK | os.X_OK) and folder.is_dir()):
        return ""
    if not os.path.exists(folder):  # noqa: PTH110  unlike Path.exists, never raises
        return f"{folder} does not exist"
    if not os.path.isdir(folder):  # noqa: PTH112
        return f"{folder} is not a folder"
    return f"{folder} cannot be written to by this user"


def free_space(file: Path) -> tuple[bool, str]:
    """Return whether the disk of a file that may not exist yet has enough space, and how much."""
    folder = file.parent
    while not os.path.isdir(folder):  # noqa: PTH112  as above
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    return free >= _ENOUGH_SPACE, f"{free / _GIB:.1f} GiB in {folder}"

"""Find folders in the settings that lie in a camera's inbox."""

from __future__ import annotations

import os
from pathlib import Path
from threading import Thread
from time import monotonic
from typing import TYPE_CHECKING

from fundusd.domain.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from fundusd.app.settings import Settings

    Resolve = Callable[[Path], str]

_PATIENCE = 2.0  # seconds


def overlap(settings: Settings, resolve: Resolve = os.path.normpath) -> str | None:
    """Return a sentence about two paths in the settings that must not be the same, or None.

    No inbox may hold another folder, and no camera's own database may be that of fundusd.

    `resolve` makes paths comparable. By default, it removes `..` without reading the file system.
    """
    database = settings.store.sqlite_file
    resolved = {camera.id: Path(resolve(camera.inbox)) for camera in settings.camera}
    for camera_id, inbox in resolved.items():
        for other_id, other in resolved.items():
            if camera_id != other_id and other.is_relative_to(inbox):
                return f"inboxes must not contain each other: {other_id} lies inside {camera_id}"
        for receiver in settings.receiver:
            folder = receiver.folder
            if folder is not None and Path(resolve(folder)).is_relative_to(inbox):
                return f"the folder of receiver {receiver.id} must not lie in an inbox"
        if database is not None and Path(resolve(database)).is_relative_to(inbox):
            return f"the database must not lie in the inbox of camera {camera_id}"
    return None if database is None else _shared_database(settings, resolve(database), resolve)


def _shared_database(settings: Settings, database: str, resolve: Resolve) -> str | None:
    """Return a sentence about a camera whose own database is that of fundusd, or None."""
    for camera in settings.camera:
        lookup = camera.lookup.database
        if lookup and resolve(Path(lookup)) == database:
            return (
                f"[store] url must not name the database in [camera.lookup] of camera {camera.id}:"
                " fundusd needs a database of its own"
            )
    return None


def require_separate_folders(settings: Settings) -> None:
    """Raise SettingsError if a folder lies in an inbox when symbolic links are followed.

    Links that cannot be followed in two seconds are not, because a share whose server is away must
    not keep the other cameras waiting.
    """
    paths = {camera.inbox for camera in settings.camera}
    paths |= {receiver.folder for receiver in settings.receiver if receiver.folder is not None}
    if settings.store.sqlite_file is not None:
        paths.add(settings.store.sqlite_file)
    paths |= {Path(camera.lookup.database) for camera in settings.camera if camera.lookup.database}
    real = _real_paths(paths)
    problem = overlap(settings, real.__getitem__)
    if problem is not None:
        raise SettingsError(
            f"Through a symbolic link, two paths in the settings lead to one place: {problem}.",
            hint="Give every camera an inbox of its own, and keep all other paths apart.",
        )


def _real_paths(paths: Iterable[Path]) -> dict[Path, str]:
    real = {path: os.path.normpath(path) for path in paths}

    def follow(path: Path) -> None:
        real[path] = os.path.realpath(path)

    deadline = monotonic() + _PATIENCE
    threads = [Thread(target=follow, args=(path,), daemon=True) for path in real]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(0.0, deadline - monotonic()))
    return dict(real)

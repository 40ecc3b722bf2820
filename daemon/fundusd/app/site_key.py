"""The site key: the secret that turns patient identifiers into patient keys."""

from __future__ import annotations

import os
import shlex
import stat
from typing import TYPE_CHECKING

from fundusd.clinical.pseudonyms import weakness
from fundusd.domain.errors import SettingsError
from fundusd.files.owners import closing, owner_of, user_name, way_out

if TYPE_CHECKING:
    from pathlib import Path


def read_or_create(file: Path) -> bytes:
    """Return the site key stored in a file.

    If the file does not exist, a random key is written to it first. Raises SettingsError if the
    file cannot be written, and in the same cases as `read`.
    """
    try:
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as new:
            new.write(os.urandom(32).hex().encode())
            new.flush()
            os.fsync(new.fileno())
    except FileExistsError:
        pass
    except OSError as error:
        raise _unwritable(file, error) from None
    return read(file)


def read(file: Path) -> bytes:
    """Return the site key stored in a file.

    Raises SettingsError if it cannot be read, is weak, or can be read by everyone.
    """
    try:
        key = file.read_bytes().strip()
        mode = file.stat().st_mode
    except PermissionError:
        raise _not_ours(file) from None
    except OSError as error:
        raise _unusable(f"cannot be read ({error.strerror})") from None
    if weak := weakness(key):
        raise SettingsError(
            f"[privacy] site_key_file {weak}.",
            hint="Restore the site's own key from its backup. Only at a site without patients,"
            " remove the file: fundusd then writes a random key at its first start.",
        )
    if mode & stat.S_IROTH:
        raise SettingsError(
            "[privacy] site_key_file can be read by every user.",
            hint=f"Let only the user that fundusd runs as read it: {closing(file)}",
        )
    return key


def require_matching(in_use: str | None, key_id: str | None, file: Path) -> None:
    """Raise SettingsError if rows of the database were made with another site key, or a lost one.

    `in_use` and `key_id` are the ids of the key of the rows and of the key in the file.
    """
    if in_use is None or in_use == key_id:
        return
    problem = "is another key than that"
    if not os.path.lexists(file):
        problem = "is gone. It held the key"
    raise SettingsError(
        f"[privacy] site_key_file {problem} with which the patient keys in the database were made.",
        hint=f"Restore {file} from its backup; with another key, every patient becomes a new"
        " person. If the key is lost for good: fundusd db adopt --site-key",
    )


def _not_ours(file: Path) -> SettingsError:
    user = user_name(os.geteuid())
    return SettingsError(
        f"[privacy] site_key_file belongs to {owner_of(file)}, and user {user} may not read it.",
        hint=way_out(file),
    )


def _unwritable(file: Path, error: OSError) -> SettingsError:
    """Return the error of a key that cannot be created, perhaps because its folder is away."""
    problem, folder = f"cannot be written ({error.strerror})", file.parent
    if isinstance(error, FileNotFoundError):
        return SettingsError(
            f"[privacy] site_key_file {problem}: there is no folder {folder}.",
            hint="Mount the disk that it is on. Only at a site without patients, create it for the"
            f" user that fundusd runs as: install -d -o fundusd -m 750 {shlex.quote(str(folder))}",
        )
    if isinstance(error, PermissionError):
        return SettingsError(
            f"[privacy] site_key_file {problem}: the folder {folder} belongs to"
            f" {owner_of(folder)}.",
            hint=way_out(folder),
        )
    return _unusable(problem)


def _unusable(problem: str) -> SettingsError:
    return SettingsError(
        f"[privacy] site_key_file {problem}.",
        hint="Name a file in a folder that belongs to the user that fundusd runs as, "
        "such as /var/lib/fundusd.",
    )

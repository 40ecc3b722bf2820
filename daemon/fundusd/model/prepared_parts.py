"""Store the parts that are made from a checkpoint, each with the digests of its files."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shlex
import shutil
import tempfile
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fundusd.domain.errors import ModelError
from fundusd.files.owners import owner_of, user_name, way_out
from fundusd.model.checkpoint import hash_files

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from fundusd.model.checkpoint import Checkpoint, Progress

FORMAT = 2  # of everything below; a change of it recreates all parts
_MANIFEST = "part.json"
_ROOT = 0


def cache_folder() -> Path:
    """Return fundusd's cache folder: the one that systemd sets, otherwise the user's.

    Raises ModelError if the home is not a folder.
    """
    if given := os.environ.get("CACHE_DIRECTORY"):  # systemd's CacheDirectory=
        return Path(given.split(":")[0])
    if given := os.environ.get("XDG_CACHE_HOME"):
        return Path(given) / "fundusd"
    home = Path.home()
    if not home.is_dir():
        raise ModelError(
            f"There is no place for the prepared model: this user's home, {home}, is no folder.",
            hint="Set CACHE_DIRECTORY to a folder that this user may write to, or set HOME.",
        )
    return home / ".cache" / "fundusd"


@dataclass(frozen=True, slots=True)
class Part:
    """A folder, the sha256 of each of its files, and facts about them."""

    folder: Path
    files: Mapping[str, str]
    facts: Mapping[str, Any]

    def path(self, name: str) -> Path:
        """Return the path of one of the part's files."""
        return self.folder / name

    def is_intact(self) -> bool:
        """Return whether the part's files have the stored digests."""
        try:
            return hash_files(self.folder, self.files) == self.files
        except OSError:
            return False


class PreparedParts:
    """The parts made from one checkpoint."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        self.folder = cache_folder() / "prepared" / f"{checkpoint.digest[:16]}-{FORMAT}"

    def find(self, name: str) -> Part | None:
        """Return a part without hashing its files, or None if it is missing or unreadable."""
        folder = self.folder / name
        try:
            manifest = json.loads((folder / _MANIFEST).read_bytes())
            return Part(folder, manifest["files"], manifest["facts"])
        except (OSError, ValueError, KeyError, TypeError):
            return None

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Prevent other processes from creating parts of this checkpoint until the block ends.

        The lock is also released if the process ends. Raises ModelError if the folder is not
        writable.
        """
        with self._writable():
            self.folder.mkdir(parents=True, exist_ok=True)
            lock = os.open(self.folder / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
        finally:
            os.close(lock)

    @contextmanager
    def writing(self, name: str, facts: Mapping[str, Any]) -> Iterator[Path]:
        """Yield a folder whose files become the part, atomically and durably, when the block ends.

        Raises ModelError if the files cannot be written.
        """
        with self._writable():
            self.folder.mkdir(parents=True, exist_ok=True)
            work = Path(tempfile.mkdtemp(prefix=".unfinished-", dir=self.folder))
            try:
                yield work
                self._finish(work, name, facts)
            finally:
                shutil.rmtree(work, ignore_errors=True)

    @contextmanager
    def _writable(self) -> Iterator[None]:
        try:
            yield
        except PermissionError as error:
            present = Path(error.filename or self.folder)
            while not os.path.lexists(present):  # unlike Path.exists, never raises
                present = present.parent
            raise ModelError(
                f"The prepared model cannot be written: {present} belongs to {owner_of(present)},"
                f" and user {user_name(os.geteuid())} may not write to it.",
                hint=_way_out(present),
            ) from error
        except OSError as error:
            raise ModelError(
                f"The prepared model cannot be written to {self.folder} ({error.strerror}).",
                hint="Free some space there, or set CACHE_DIRECTORY.",
            ) from error

    def _finish(self, work: Path, name: str, facts: Mapping[str, Any]) -> None:
        names = sorted(path.name for path in work.iterdir())
        manifest = {"files": hash_files(work, names), "facts": facts}
        (work / _MANIFEST).write_text(
            json.dumps(manifest, indent=1, sort_keys=True) + "\n", encoding="utf-8"
        )
        for file in (*names, _MANIFEST):
            _sync(work / file)
        # a daemon may have mapped the old part, so move it away and never write to it
        replaced = tempfile.TemporaryDirectory(prefix=".replaced-", dir=self.folder)
        with suppress(FileNotFoundError), replaced as old:
            (self.folder / name).rename(Path(old) / name)
        work.rename(self.folder / name)
        _sync(self.folder)


def _way_out(present: Path) -> str:
    """Return the hint for a file or folder that is closed.

    A new owner is named only for what is in this user's cache, or for a cache that is root's.
    """
    cache, uid = cache_folder(), os.geteuid()
    elsewhere = "set CACHE_DIRECTORY to a folder that this user may write to."
    try:
        owner = cache.stat().st_uid
    except FileNotFoundError:
        owner = _ROOT
    except PermissionError:
        return f"S{elsewhere[1:]}"
    if owner == uid and present.is_relative_to(cache):
        return way_out(present, cache)
    if owner != _ROOT:
        return f"{way_out(cache, cache)} Otherwise, {elsewhere}"
    folder, user = shlex.quote(str(cache)), user_name(uid).removeprefix("#")
    install = f"sudo install -d -o {user} -m 750 {folder}"
    return f"Make the cache folder for this user: {install}. Or {elsewhere}"


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def remembered_digests(
    folder: Path, names: Iterable[str], on_progress: Progress | None = None
) -> dict[str, str]:
    """Return the SHA-256 digests of files, hashing only those that changed since the last call.

    A file counts as unchanged if its size, times and inode are the same. Trusting these is safe
    because `run` uses the prepared parts, whose digests are checked each time. `fundusd model
    verify` hashes all files.
    """
    name_digest = hashlib.sha256(os.fsencode(folder)).hexdigest()
    cache = cache_folder() / "digests" / f"{name_digest[:16]}.json"
    cached = _read_digests(cache)
    signatures, digests, changed = {}, {}, []
    for name in names:
        signatures[name] = _signature(folder / name)
        entry = cached.get(name, {})
        if entry.get("sign") == signatures[name]:
            digests[name] = entry["sha256"]
        else:
            changed.append(name)
    fresh = hash_files(folder, changed, on_progress)
    digests |= fresh
    entries = {}
    for name, signature in signatures.items():
        entries[name] = {"sign": signature, "sha256": digests[name]}
    if fresh:
        _write_digests(cache, entries)
    return {name: digests[name] for name in signatures}


def _signature(path: Path) -> list[int]:
    status = path.stat()
    return [status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino]


def _read_digests(cache: Path) -> dict[str, Any]:
    with suppress(OSError, ValueError):
        entries = json.loads(cache.read_bytes())
        if isinstance(entries, dict):
            return entries
    return {}


def _write_digests(cache: Path, entries: Mapping[str, Any]) -> None:
    with suppress(OSError):  # without the cache, the next start only takes longer
        cache.parent.mkdir(parents=True, exist_ok=True)
        unfinished = cache.with_suffix(f".{os.getpid()}")
        unfinished.write_text(json.dumps(entries), encoding="utf-8")
        unfinished.replace(cache)

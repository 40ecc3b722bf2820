"""What is made once of a checkpoint and kept: parts on disk, each with the digests its files must have."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import tempfile
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fundusd.domain.errors import ModelError
from fundusd.model.checkpoint import hash_files

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from fundusd.model.checkpoint import Checkpoint, Progress

FORMAT = 2  # of everything below; another one makes all parts anew
_MANIFEST = "part.json"


def folder() -> Path:
    """Return where fundusd keeps what it can make again: the service's cache directory, else the user's."""
    if given := os.environ.get("CACHE_DIRECTORY"):  # systemd's CacheDirectory=
        return Path(given.split(":")[0])
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "fundusd"


@dataclass(frozen=True, slots=True)
class Part:
    """A made thing: a folder with files, their sha256, and facts about it."""

    folder: Path
    files: Mapping[str, str]
    facts: Mapping[str, Any]

    def path(self, name: str) -> Path:
        """Return where a file of it lies."""
        return self.folder / name

    def is_intact(self) -> bool:
        """Hash its files and compare."""
        try:
            return hash_files(self.folder, self.files) == self.files
        except OSError:
            return False


class PreparedParts:
    """The parts made of one checkpoint."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        self.folder = folder() / "prepared" / f"{checkpoint.digest[:16]}-{FORMAT}"

    def find(self, name: str) -> Part | None:
        """Return a part, None when it was never made or cannot be read; its files are not hashed yet."""
        place = self.folder / name
        try:
            manifest = json.loads((place / _MANIFEST).read_bytes())
            return Part(place, manifest["files"], manifest["facts"])
        except (OSError, ValueError, KeyError, TypeError):
            return None

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Wait until no other process makes parts of this checkpoint; what dies lets go. Raises ModelError."""
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
        """Give a folder to write files into; they become the part, at once and durably. Raises ModelError."""
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
        except OSError as error:
            raise ModelError(
                f"the prepared model cannot be written to {self.folder} ({error.strerror})",
                hint="make room there, see that it belongs to the user the service runs as, or set CACHE_DIRECTORY",
            ) from error

    def _finish(self, work: Path, name: str, facts: Mapping[str, Any]) -> None:
        names = sorted(path.name for path in work.iterdir())
        manifest = {"files": hash_files(work, names), "facts": facts}
        (work / _MANIFEST).write_text(
            json.dumps(manifest, indent=1, sort_keys=True) + "\n", encoding="utf-8"
        )
        for file in (*names, _MANIFEST):
            _sync(work / file)
        # a daemon may have the old part mapped: move it away whole, never write into it
        with (
            suppress(FileNotFoundError),
            tempfile.TemporaryDirectory(prefix=".replaced-", dir=self.folder) as old,
        ):
            (self.folder / name).rename(Path(old) / name)
        work.rename(self.folder / name)
        _sync(self.folder)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def remembered_digests(
    place: Path, names: Iterable[str], on_progress: Progress | None = None
) -> dict[str, str]:
    """Return the sha256 of files, hashing only what changed since the last time.

    A file counts as unchanged while its size, both its times and its inode are: enough to start fast, since what
    runs are the prepared parts, whose own digests are checked each time. `fundusd model verify` hashes afresh.
    """
    memory = folder() / "digests" / f"{hashlib.sha256(os.fsencode(place)).hexdigest()[:16]}.json"
    known = _recall(memory)
    signs = {name: _sign(place / name) for name in names}
    digests = {
        name: known[name]["sha256"]
        for name, sign in signs.items()
        if known.get(name, {}).get("sign") == sign
    }
    fresh = hash_files(place, [name for name in signs if name not in digests], on_progress)
    if fresh:
        _keep(
            memory,
            {name: {"sign": signs[name], "sha256": (digests | fresh)[name]} for name in signs},
        )
    return {name: (digests | fresh)[name] for name in signs}


def _sign(path: Path) -> list[int]:
    status = path.stat()
    return [status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino]


def _recall(memory: Path) -> dict[str, Any]:
    try:
        known = json.loads(memory.read_bytes())
    except (OSError, ValueError):
        return {}
    return known if isinstance(known, dict) else {}


def _keep(memory: Path, known: Mapping[str, Any]) -> None:
    with suppress(OSError):  # a memory that cannot be kept only costs the next start its time
        memory.parent.mkdir(parents=True, exist_ok=True)
        fresh = memory.with_suffix(f".{os.getpid()}")
        fresh.write_text(json.dumps(known), encoding="utf-8")
        fresh.replace(memory)

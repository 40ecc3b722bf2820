"""Lay out settings, inbox and database for the measured daemon."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

import orjson

from fundusd.app import settings_file
from fundusd.domain.errors import FundusdError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from fundusd.app.settings import Settings

READY_SECONDS = 900.0  # a full-size model on a slow disk, prepared for the first time
ROW_SECONDS = 300.0
_SETTINGS = """\
[store]
url = "sqlite:///{folder}/fundusd.db"
[model]
source = {source}
device = "cpu"
dtype = "{dtype}"
[intake]
quiet_seconds = {quiet_seconds}
sweep_seconds = 5
retry_seconds = []
[privacy]
site_key_file = "{folder}/site.key"
[[camera]]
id = "bench"
inbox = "{folder}/inbox"
[log]
format = "json"
"""


@dataclass(frozen=True, slots=True)
class Site:
    """A settings file, an inbox and a database in one folder."""

    folder: Path
    path: Path
    settings: Settings

    @property
    def inbox(self) -> Path:
        """Return the camera's export folder."""
        return self.folder / "inbox"


def lay_out(folder: Path, source: str, *, dtype: str = "auto", quiet_seconds: float) -> Site:
    """Create a site in a new folder."""
    (folder / "inbox").mkdir(parents=True)
    path = folder / "fundusd.toml"
    quoted = orjson.dumps(source).decode()  # a JSON string is a TOML string
    path.write_text(
        _SETTINGS.format(
            folder=folder.absolute(), source=quoted, dtype=dtype, quiet_seconds=quiet_seconds
        ),
        encoding="utf-8",
    )
    return Site(folder, path, settings_file.load(path))


def graded_at(line: Mapping[str, Any]) -> float:
    """Return when the daemon logged that a row was committed, in seconds since 1970."""
    return datetime.fromisoformat(line["ts"]).timestamp()


def require_graded(line: Mapping[str, Any]) -> None:
    """Raise FundusdError if a capture ended without a grade."""
    if line["event"].startswith("capture.") and line["event"] != "capture.graded":
        raise FundusdError(
            f"A capture was not graded: {line['event']}, {line.get('reason', 'no reason')}.",
            hint="Look closer with --keep DIR; with --captures name photographs of retinas only.",
        )

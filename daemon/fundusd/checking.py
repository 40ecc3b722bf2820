"""What `fundusd check` looks at: inboxes, database, schema, model; one finding each."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fundusd.app import model_choice
from fundusd.errors import FundusdError
from fundusd.model.cache import remembered_digests
from fundusd.model.prompts import load_prompt_set
from fundusd.model.source import find
from fundusd.reading import is_network_filesystem
from fundusd.store import opened_ledger

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from fundusd.settings import Camera, Settings


@dataclass(frozen=True, slots=True)
class Finding:
    """What was looked at, whether it is as it should be, and what to do if not."""

    subject: str
    ok: bool
    verdict: str
    hint: str = ""


def check(settings: Settings) -> Iterator[Finding]:
    """Yield a finding for each part the daemon needs."""
    if not settings.camera:
        yield Finding("cameras", ok=False, verdict="none is set", hint="Add a [[camera]] with id and inbox.")
    for camera in settings.camera:
        yield _inbox(camera)
    yield _looked_at("database", lambda: _database(settings))
    yield _looked_at("prompts", lambda: f"set {load_prompt_set(settings.model.prompts).name}")
    yield _looked_at("model", lambda: find(model_choice(settings), digest=remembered_digests).label)


def _looked_at(subject: str, look: Callable[[], str]) -> Finding:
    try:
        return Finding(subject, ok=True, verdict=look())
    except FundusdError as error:
        return Finding(subject, ok=False, verdict=error.message, hint=error.hint)


def _inbox(camera: Camera) -> Finding:
    subject = f"inbox of {camera.id}"
    try:
        with os.scandir(camera.inbox) as listing:
            first = next(listing, None)
    except OSError as error:
        hint = "Create or mount it, and let the user fundusd runs as read it."
        return Finding(subject, ok=False, verdict=f"cannot be listed ({error.strerror})", hint=hint)
    remote = is_network_filesystem(camera.inbox)
    verdict = "readable" + (", on a network share: found by sweeps only" if remote else "")
    return Finding(subject, ok=True, verdict=verdict + (", empty" if first is None else ""))


def _database(settings: Settings) -> str:
    file = settings.store.sqlite_file
    if file is not None and not file.exists():
        if not os.access(file.parent, os.W_OK):
            raise FundusdError(
                f"{file.parent} is no folder this user may write to.",
                hint="Create it for the user fundusd runs as, or name another in [store] url.",
            )
        return "not there yet; made at the first start"
    with opened_ledger(settings) as ledger:
        return f"{ledger.database.shown}, schema {ledger.check()}"

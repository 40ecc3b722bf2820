"""What `fundusd check` looks at: inboxes, cameras' databases, site key, database, model; one finding each."""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

from fundusd.app import site_key
from fundusd.app.factory import model_choice
from fundusd.app.open_ledger import opened_ledger
from fundusd.clinical import camera_database
from fundusd.domain.capture_warnings import CaptureWarning
from fundusd.domain.errors import FundusdError, SettingsError
from fundusd.files.filesystem import is_network_filesystem
from fundusd.ledger.sightings import path_text
from fundusd.model.locate import find
from fundusd.model.prepared_parts import remembered_digests
from fundusd.model.prompts import load_prompt_set
from fundusd.watcher.ignore_rules import named_like_captures

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from fundusd.app.settings import Camera, Settings
    from fundusd.clinical.attribution import CaptureMetadata
    from fundusd.clinical.camera_database import Lookup


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
        yield Finding(
            "cameras", ok=False, verdict="none is set", hint="Add a [[camera]] with id and inbox."
        )
    for camera in settings.camera:
        yield _inbox(camera)
        if camera.own_database:
            yield _lookup(camera, camera.own_database)
    yield _looked_at("site key", lambda: _site_key(settings))
    yield _looked_at("database", lambda: _database(settings))
    if settings.privacy.identifiers == "pseudonymous":
        yield from _identifiers(settings)
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


_ANSWERED = "answered"
_LOOKUP_HINTS = {
    CaptureWarning.LOOKUP_MISSING: "Let the user fundusd runs as read it and its folder, or name another file in [camera.lookup].",
    CaptureWarning.LOOKUP_LOCKED: "The camera is writing, or its query takes more than a second: try again, or add an index.",
    CaptureWarning.LOOKUP_BROKEN: "Compare the query with the tables: sqlite3 -readonly FILE .schema; its columns must be called "
    + ", ".join(camera_database.COLUMNS),
    CaptureWarning.LOOKUP_AMBIGUOUS: "The query must return one row: compare more than the name, or the newest row alone.",
    CaptureWarning.LOOKUP_NO_ROW: "Compare with fundusd check --names DIR --camera ID, and what :path, :name, :stem and :folder are.",
}


def _lookup(camera: Camera, asked: Lookup) -> Finding:
    """Ask for up to three captures of the inbox; none at all still finds out whether the query fits the database."""
    subject = f"database of {camera.id}"
    paths = [path_text(path) for path in islice(named_like_captures(camera.inbox), 3)]
    answers = Counter(_answer(one) for one in asked.ask(paths or [""]))
    told = ", ".join(f"{count} {answer}" for answer, count in answers.items())
    if not paths and set(answers) <= {_ANSWERED, CaptureWarning.LOOKUP_NO_ROW}:
        return Finding(
            subject,
            ok=True,
            verdict="opens, and the query fits; there is no capture to ask for yet",
        )
    may_come = {CaptureWarning.LOOKUP_NO_ROW} if answers[_ANSWERED] else set()
    troubles = set(answers) - may_come
    hint = next((_LOOKUP_HINTS[code] for code in _LOOKUP_HINTS if code in troubles), "")
    return Finding(
        subject, ok=not hint, verdict=f"asked for {len(paths)} captures: {told}", hint=hint
    )


def _answer(named: CaptureMetadata) -> str:
    return next((code for code in named.warnings if code in _LOOKUP_HINTS), _ANSWERED)


def _site_key(settings: Settings) -> str:
    if not os.path.lexists(settings.privacy.site_key_file):  # unlike Path.exists it raises nothing
        return "not there yet; a random one is made at the first start"
    site_key.read(settings.privacy.site_key_file)
    return "as it should be"


def _identifiers(settings: Settings) -> Iterator[Finding]:
    """Tell of what was written down before the site kept pseudonyms only."""
    file = settings.store.sqlite_file
    if file is not None and not file.exists():
        return
    try:
        with opened_ledger(settings) as ledger:
            ledger.check()
            captures, results = ledger.identifiers_held()
    except FundusdError:  # told of as the database
        return
    if not captures + results:
        yield Finding("identifiers in clear", ok=True, verdict="none")
        return
    verdict = f"{captures} captures and {results} results from before hold them"
    hint = "They stay as they were recorded; docs/privacy.md says what can be done."
    yield Finding("identifiers in clear", ok=True, verdict=verdict, hint=hint)


def _database(settings: Settings) -> str:
    file = settings.store.sqlite_file
    if file is not None and not file.exists():
        if not os.access(file.parent, os.W_OK):
            raise SettingsError(
                f"{file.parent} is no folder this user may write to.",
                hint="Create it for the user fundusd runs as, or name another in [store] url.",
            )
        return "not there yet; made at the first start"
    with opened_ledger(settings) as ledger:
        return f"{ledger.database.shown}, schema {ledger.check()}"

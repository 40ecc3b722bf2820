"""Check the parts that the daemon needs, for `fundusd check`.

These are the inboxes, the cameras' databases, the site key, the database, the prompts, the model,
its device, the receivers' folders, free space and the orientation of the cameras' pictures.
"""

from __future__ import annotations

import os
import shlex
from collections import Counter
from itertools import islice
from typing import TYPE_CHECKING, TypeVar

from fundusd.app import (
    health_check_machine,
    health_check_receivers,
    inbox_trouble,
    known_site,
    site_key,
)
from fundusd.app.check_result import CheckResult, checked
from fundusd.app.factory import model_choice
from fundusd.app.open_ledger import opened_ledger
from fundusd.app.service_unit import unit_of
from fundusd.clinical import camera_database
from fundusd.clinical.camera_orientation import Orientation, describe
from fundusd.clinical.grading import Rule, unsafe_rules
from fundusd.clinical.pseudonyms import Identifiers
from fundusd.domain.capture_warnings import CaptureWarning
from fundusd.domain.errors import FundusdError, SettingsError
from fundusd.files.filesystem import is_network_filesystem
from fundusd.files.owners import owner_of, user_name
from fundusd.ledger.sightings import path_text
from fundusd.model.locate import find
from fundusd.model.prepared_parts import remembered_digests
from fundusd.model.prompts import load_prompt_set
from fundusd.watcher.ignore_rules import named_like_captures, rules_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from fundusd.app.camera_settings import CameraSettings
    from fundusd.app.settings import Settings
    from fundusd.clinical.attribution import CaptureMetadata
    from fundusd.clinical.camera_database import Lookup
    from fundusd.ledger import Ledger


Answer = TypeVar("Answer")


def check(settings: Settings, file: Path) -> Iterator[CheckResult]:
    """Yield a result for each part that the daemon needs.

    `file` is the settings file. If root has started the command, it runs as the service's user, who
    need not be able to read the file.
    """
    if not os.access(file, os.R_OK):
        yield _unreadable(file)
    if not settings.camera:
        yield CheckResult(
            "cameras", ok=False, verdict="none is set", hint="Add a [[camera]] with id and inbox."
        )
    for camera in settings.camera:
        yield _inbox(camera)
        if camera.own_database:
            yield _lookup(camera, camera.own_database)
    yield from health_check_receivers.credentials(settings)
    yield checked("site key", lambda: _site_key(settings))
    yield from health_check_machine.secrets_of_group(settings)
    yield checked("database", lambda: _database(settings))
    if settings.privacy.identifiers == "pseudonymous":
        yield from _identifiers(settings)
    yield from _orientations(settings)
    yield _referral_rule(settings)
    yield checked("prompts", lambda: f"set {load_prompt_set(settings.model.prompts).name}")
    yield checked("model", lambda: find(model_choice(settings), digest=remembered_digests).label)
    yield checked("device", lambda: health_check_machine.device_verdict(settings))
    yield from health_check_receivers.receivers(settings, unit_of(file))
    yield from _space(settings)


def _unreadable(file: Path) -> CheckResult:
    user = user_name(os.geteuid())
    return CheckResult(
        "settings file",
        ok=False,
        verdict=f"{file} belongs to {owner_of(file)}, and user {user} may not read it",
        hint=f"Let the user that fundusd runs as read it: sudo chmod a+r {shlex.quote(str(file))}"
        " (passwords belong into files of their own).",
    )


def _space(settings: Settings) -> Iterator[CheckResult]:
    file = settings.store.sqlite_file
    if file is None:
        return
    is_enough, verdict = health_check_machine.free_space(file)
    hint = "" if is_enough else "Free some space, or name a file on a larger disk in [store] url."
    yield CheckResult("free space for the database", ok=is_enough, verdict=verdict, hint=hint)


def _inbox(camera: CameraSettings) -> CheckResult:
    subject = f"inbox of {camera.id}"
    try:
        with os.scandir(camera.inbox) as listing:
            first = next(listing, None)
    except OSError as error:
        problem, hint = inbox_trouble.of(camera.inbox, error)
        return CheckResult(subject, ok=False, verdict=problem, hint=hint)
    verdict = "readable"
    if is_network_filesystem(camera.inbox):
        verdict += ", on a network share (captures are found by sweeps only)"
    if first is None:
        verdict += ", empty"
    return CheckResult(subject, ok=True, verdict=verdict)


_ANSWERED = "answered"
_LOOKUP_HINTS = {
    CaptureWarning.LOOKUP_MISSING: (
        "Let the user that fundusd runs as read the file and its folder, "
        "or name another file in [camera.lookup]."
    ),
    CaptureWarning.LOOKUP_LOCKED: (
        "The camera is writing, or the query takes more than a second. Try again, or add an index."
    ),
    CaptureWarning.LOOKUP_BROKEN: (
        "Compare the query with the tables: sqlite3 -readonly FILE .schema. "
        f"The columns of its result must be called {', '.join(camera_database.COLUMNS)}."
    ),
    CaptureWarning.LOOKUP_AMBIGUOUS: (
        "The query must return one row. Compare more than the name, or select the newest row."
    ),
    CaptureWarning.LOOKUP_NO_ROW: (
        "Check what :path, :name, :stem and :folder stand for, "
        "and try: fundusd check --names DIR --camera ID"
    ),
}


def _lookup(camera: CameraSettings, database: Lookup) -> CheckResult:
    """Return the result of looking up at most three captures of an inbox in the camera's database.

    Even if the inbox is empty, the result shows whether the query fits the database.
    """
    subject = f"database of {camera.id}"
    captures = named_like_captures(camera.inbox, rules_of(camera.ignore))
    paths = [path_text(path) for path in islice(captures, 3)]
    answers = Counter(_answer(metadata) for metadata in database.ask(paths or [""]))
    if not paths and set(answers) <= {_ANSWERED, CaptureWarning.LOOKUP_NO_ROW}:
        verdict = "can be opened, and the query fits; there is no capture to ask for yet"
        return CheckResult(subject, ok=True, verdict=verdict)
    counts = ", ".join(f"{count} {answer}" for answer, count in answers.items())
    verdict = f"asked for {len(paths)} captures: {counts}"
    for code, hint in _LOOKUP_HINTS.items():
        is_expected = code is CaptureWarning.LOOKUP_NO_ROW and answers[_ANSWERED]
        if code in answers and not is_expected:
            return CheckResult(subject, ok=False, verdict=verdict, hint=hint)
    return CheckResult(subject, ok=True, verdict=verdict)


def _answer(metadata: CaptureMetadata) -> str:
    """Return the warning about the camera's database, or "answered" if there is no warning."""
    for warning in metadata.warnings:
        if warning in _LOOKUP_HINTS:
            return warning
    return _ANSWERED


def _site_key(settings: Settings) -> str:
    file = settings.privacy.site_key_file
    key = site_key.read(file) if os.path.lexists(file) else b""
    in_use = _read(settings, lambda ledger: ledger.key_in_use())
    site_key.require_matching(in_use, Identifiers(key).key_id, file)
    if not key:
        return "not there yet; a random key is written at the first start"
    return "valid"


def _referral_rule(settings: Settings) -> CheckResult:
    rule = Rule.parse(settings.model.referable)
    if rule.is_safe:
        return CheckResult("referral rule", ok=True, verdict=rule.name)
    return CheckResult(
        "referral rule",
        ok=True,
        verdict=f"{unsafe_rules([rule.name])} [model] accept_unsafe_rule = true accepts this.",
        hint=f'A safe rule is "{rule.safe_name}".',
    )


def _identifiers(settings: Settings) -> Iterator[CheckResult]:
    """Yield a check result that counts the captures and results with identifiers in clear.

    These captures and results were recorded before the site chose pseudonyms. There is no result if
    nothing can be read.
    """
    held = _read(settings, lambda ledger: ledger.identifiers_held())
    if held is None:
        return
    captures, results = held
    if not captures + results:
        yield CheckResult("identifiers in clear", ok=True, verdict="none")
        return
    verdict = f"recorded earlier in {captures} captures and {results} results"
    hint = "They stay as they were recorded; docs/privacy.md says what can be done."
    yield CheckResult("identifiers in clear", ok=True, verdict=verdict, hint=hint)


_TURNED_HINT = (
    "Compare a photograph of today with its eye. Either the camera's pictures are turned now, or "
    "its eyes are named wrongly. See docs/optic-disc.md."
)
_NOT_NORMAL_HINT = (
    "Compare a photograph with its eye. If the picture is not turned, the eyes of this camera are "
    "named wrongly. See docs/optic-disc.md."
)
_PARTLY_TURNED_HINT = (
    "Some pictures are turned by 180 degrees. An eye is only checked where the macula shows which "
    "way up its picture is. See docs/optic-disc.md."
)
_UNCLEAR_HINT = (
    "Captures of the same eye show the optic disc on different sides, so no eye is checked. "
    "Compare this camera's photographs with their eyes: some eyes are named wrongly, or some "
    "pictures are turned. See docs/optic-disc.md."
)


def _orientations(settings: Settings) -> Iterator[CheckResult]:
    """Yield, for each camera with captures, how its pictures are turned.

    There is no result if nothing can be read.
    """
    camera_ids = [camera.id for camera in settings.camera]
    learnt = _read(settings, lambda ledger: ledger.orientations(camera_ids))
    for camera_id, orientation in sorted((learnt or {}).items()):
        hints: list[str] = []
        if orientation.former is not None:
            hints.append(_TURNED_HINT)
        elif orientation.is_unclear:
            hints.append(_UNCLEAR_HINT)
        elif orientation.orientation not in {None, Orientation.NORMAL}:
            hints.append(_NOT_NORMAL_HINT)
        if orientation.is_partly_turned:
            hints.append(_PARTLY_TURNED_HINT)
        is_ok = orientation.former is None and not orientation.is_unclear
        subject, verdict = f"pictures of {camera_id}", describe(orientation)
        yield CheckResult(subject, ok=is_ok, verdict=verdict, hint=" ".join(hints))


def _read(settings: Settings, read: Callable[[Ledger], Answer]) -> Answer | None:
    """Return what `read` reads, or None if the database does not exist yet or cannot be used."""
    file = settings.store.sqlite_file
    if file is not None and not os.path.lexists(file):
        return None
    try:
        with opened_ledger(settings) as ledger:
            ledger.check()
            return read(ledger)
    except FundusdError:  # already reported by the check of the database
        return None


def _database(settings: Settings) -> str:
    file = settings.store.sqlite_file
    with opened_ledger(settings) as ledger:
        known_site.require_known(settings, ledger)
        if file is None or os.path.lexists(file) or not os.access(file.parent, os.X_OK):
            ledger.database.require_writable()
            revision = ledger.check()
            ledger.database.require_intact()
            return f"{ledger.database.shown}, schema {revision}"
    if not os.access(file.parent, os.W_OK):
        raise SettingsError(
            f"{file.parent} is not a folder that this user may write to.",
            hint="Create it for the user that fundusd runs as, or name another in [store] url.",
        )
    return "not there yet; created at the first start"

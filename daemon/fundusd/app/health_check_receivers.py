"""Check the receivers for `fundusd check`: credentials, folders, and what servers answer."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from fundusd.app import factory
from fundusd.app.check_result import CheckResult, checked
from fundusd.app.health_check_machine import folder_problem
from fundusd.domain.errors import SettingsError
from fundusd.outbox import reachability

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fundusd.app.service_unit import Unit
    from fundusd.app.settings import ReceiverSettings, Settings
    from fundusd.outbox.credentials import Credentials

_FOLDER_HINT = (
    "Create or mount the folder, let the user that fundusd runs as write to it, and name it in "
    "ReadWritePaths= of the unit."
)


def credentials(settings: Settings) -> Iterator[CheckResult]:
    """Yield a result for each receiver with credentials: whether they can be read."""
    for receiver in settings.receiver:
        if (kept := receiver.credentials) is not None:
            yield checked(f"credentials of {receiver.id}", partial(_credentials, kept))


def _credentials(kept: Credentials) -> str:
    kept.require_readable()
    return "readable"


def receivers(settings: Settings, unit: Unit) -> Iterator[CheckResult]:
    """Yield a result for each receiver: whether its folder can be written, or what it answers.

    A server that is down is a warning, because documents wait for it. Whether the unit lets the
    service write to the folder, or use the network, is checked, too.
    """
    for receiver in settings.receiver:
        if receiver.folder is not None:
            yield _folder(receiver, unit)
        elif unit.lacks_network:
            yield CheckResult(
                f"receiver {receiver.id}",
                ok=False,
                verdict=f"{unit.name} has no network (PrivateNetwork=yes)",
                hint=f"systemctl edit {unit.name}, and add the lines of docs/documents.md.",
            )
        else:
            yield from _server(receiver)


def _folder(receiver: ReceiverSettings, unit: Unit) -> CheckResult:
    problem = folder_problem(receiver)
    if not problem and receiver.folder and not unit.lets_write(receiver.folder):
        return CheckResult(
            f"folder of {receiver.id}",
            ok=True,
            verdict=f"{receiver.folder} may not be writable for {unit.name} (ProtectSystem=strict)",
            hint=_FOLDER_HINT,
            is_warning=True,
        )
    return CheckResult(
        f"folder of {receiver.id}",
        ok=not problem,
        verdict=problem or f"{receiver.folder}, writable",
        hint=_FOLDER_HINT if problem else "",
    )


def _server(receiver: ReceiverSettings) -> Iterator[CheckResult]:
    try:
        server = factory.receiver(receiver)
    except SettingsError:  # already reported by the check of the credentials
        return
    answer = reachability.ask(server)
    yield CheckResult(
        f"receiver {receiver.id}",
        ok=True,
        verdict=f"{receiver.address}: {answer.verdict}",
        hint=answer.hint,
        is_warning=bool(answer.hint),
    )

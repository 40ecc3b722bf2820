"""The results of the checks of `fundusd check`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from fundusd.domain.errors import FundusdError

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(frozen=True, slots=True)
class CheckResult:
    """The result of a check: its subject, whether it passed, and what to do if it did not.

    A warning is about something that the service waits for, so the check has passed.
    """

    subject: str
    ok: bool
    verdict: str
    hint: str = ""
    is_warning: bool = False


def checked(subject: str, verdict: Callable[[], str]) -> CheckResult:
    """Return a result with the verdict, or with the error that is raised instead."""
    try:
        return CheckResult(subject, ok=True, verdict=verdict())
    except FundusdError as error:
        return CheckResult(subject, ok=False, verdict=error.message, hint=error.hint)

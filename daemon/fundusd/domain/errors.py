"""Every error an operator can meet: one sentence of what is wrong, one hint of what to do."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from fundusd.domain.clinical_terms import Reason


class FundusdError(Exception):
    """fundusd could not go on."""

    exit_code: ClassVar[int] = 70  # EX_SOFTWARE

    def __init__(self, message: str = "", *, hint: str = "") -> None:
        self.message = message or (type(self).__doc__ or "").strip().splitlines()[0]
        self.hint = hint
        super().__init__(self.message)


class SettingsError(FundusdError):
    """The settings are wrong."""

    exit_code = 78  # EX_CONFIG: a restart cannot help


class ModelError(FundusdError):
    """The model cannot be used."""

    exit_code = 69  # EX_UNAVAILABLE


class ModelRefused(ModelError):  # noqa: N818  says what is the case
    """The model does not answer known phantoms as it should."""


class DeviceLost(ModelError):  # noqa: N818  says what is the case
    """The device stopped working, and this process cannot use it any more."""

    exit_code = 75  # EX_TEMPFAIL: another process may well use it


class OutOfMemory(FundusdError):  # noqa: N818  named as the device names it
    """The device has no memory for a batch of this size."""

    exit_code = 75


class LedgerError(FundusdError):
    """The database cannot be used."""

    exit_code = 75  # EX_TEMPFAIL: a restart may well help


class LedgerAway(LedgerError):  # noqa: N818  says what is the case
    """The database does not answer for now; what was under way may be tried again."""


class SchemaBehind(LedgerError):  # noqa: N818  says what is the case
    """The database schema is older than this program."""

    exit_code = 78


class LeaseLost(LedgerError):  # noqa: N818  says what is the case
    """Another worker took this job over; its result is dropped, which is normal."""


class CaptureError(FundusdError):
    """One capture cannot be used; the others go on."""

    def __init__(self, reason: Reason) -> None:
        self.reason = reason
        super().__init__(reason.value)

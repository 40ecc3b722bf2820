"""Errors for operators: each says what is wrong, and a hint says what to do about it."""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fundusd.domain.clinical_terms import Reason


class ExitStatus(IntEnum):
    """The exit statuses of the program; docs/operations.md explains each of them to operators."""

    OK = 0
    NO = 1  # the command did its work, and the answer is no
    USAGE = 2  # as for a wrong option
    NO_INPUT = 66  # EX_NOINPUT
    UNAVAILABLE = 69  # EX_UNAVAILABLE
    DEFECT = 70  # EX_SOFTWARE
    SYSTEM = 71  # EX_OSERR
    TEMPORARY = 75  # EX_TEMPFAIL: a restart may help
    CONFIG = 78  # EX_CONFIG: a restart cannot help
    INTERRUPTED = 130  # as a shell reports SIGINT


class FundusdError(Exception):
    """fundusd could not continue."""

    exit_code: int = ExitStatus.DEFECT

    def __init__(self, message: str = "", *, hint: str = "") -> None:
        self.message = message or (type(self).__doc__ or "").strip().splitlines()[0]
        self.hint = hint
        super().__init__(self.message)


class RequestError(FundusdError):
    """The command cannot be carried out as it was given."""

    exit_code = ExitStatus.USAGE


class InboxError(FundusdError):
    """An inbox cannot be read."""

    exit_code = ExitStatus.USAGE  # as for any path that is not there


class SystemRefused(FundusdError):  # noqa: N818  says what is the case
    """The operating system refused something that fundusd needs, such as a new process."""

    exit_code = ExitStatus.SYSTEM


class NotInstalled(FundusdError):  # noqa: N818  says what is the case
    """A part of fundusd is not installed."""

    exit_code = ExitStatus.UNAVAILABLE


class SettingsError(FundusdError):
    """The settings are wrong."""

    exit_code = ExitStatus.CONFIG


class ModelError(FundusdError):
    """The model cannot be used."""

    exit_code = ExitStatus.UNAVAILABLE


class ModelRefused(ModelError):  # noqa: N818  says what is the case
    """The model does not answer known phantoms as it should."""


class DeviceNotReady(ModelError):  # noqa: N818  says what is the case
    """The driver of the device is there, but the device does not take work yet."""

    exit_code = ExitStatus.TEMPORARY  # it may be ready at the next start


class DeviceLost(ModelError):  # noqa: N818  says what is the case
    """The device stopped working, and this process can no longer use it."""

    exit_code = ExitStatus.TEMPORARY  # another process may be able to use it


class OutOfMemory(FundusdError):  # noqa: N818  named as the device names it
    """The device has too little memory for a batch of this size."""

    exit_code = ExitStatus.TEMPORARY


class LedgerError(FundusdError):
    """The database cannot be used."""

    exit_code = ExitStatus.TEMPORARY


class LedgerAway(LedgerError):  # noqa: N818  says what is the case
    """The database does not answer at present; the operation may be retried."""


class LedgerReadOnly(LedgerAway):
    """The database accepts no writes at present, from this role or from anybody."""


class LedgerAbsent(LedgerError):  # noqa: N818  says what is the case
    """The database does not exist."""

    exit_code = ExitStatus.NO_INPUT


class LedgerForbidden(LedgerError):  # noqa: N818  says what is the case
    """This user or role may not do this in the database."""


class LedgerUnfit(LedgerError):  # noqa: N818  says what is the case
    """The database cannot be used until an operator has put it right; a restart cannot help."""

    exit_code = ExitStatus.CONFIG


class LedgerReplaced(LedgerError):  # noqa: N818  says what is the case
    """The database is no longer the one that this daemon started with."""


class NotStorable(LedgerError):  # noqa: N818  says what is the case
    """The database cannot hold a value, for example one that a file or another program gave."""


class SchemaBehind(LedgerError):  # noqa: N818  says what is the case
    """The database schema does not match this version of fundusd."""

    exit_code = ExitStatus.CONFIG


class CaptureError(FundusdError):
    """A capture cannot be used; other captures are not affected."""

    def __init__(self, reason: Reason) -> None:
        self.reason = reason
        super().__init__(reason.value)

"""Run the command line, and report every error as a sentence, a hint and an exit status."""

from __future__ import annotations

import errno
import gc
import os
import pwd
import sys
import traceback
from contextlib import suppress
from typing import NoReturn

# a library that is missing is reported like any other error, so none is imported here
from fundusd.cli.terminal_encoding import never_fail
from fundusd.domain.errors import ExitStatus, FundusdError, NotInstalled

_OBJECTS = 500_000  # collecting garbage during imports takes a quarter of the startup time

_UMASK = 0o027  # UMask= of the units
_NO_HOME = os.devnull  # in which not even root can create a folder
_INSTALL_AGAIN = "Install fundusd and its libraries again, into the environment {prefix}."
_JOURNAL_ERROR = "<3>"  # at the start of a line, journald reads this as its priority
_FULL_OR_CLOSED = {errno.ENOSPC, errno.EDQUOT, errno.EPIPE}  # of a disk, a quota or a pipe


def main() -> None:
    """Run a command, and report every error as a sentence and a hint, never as a traceback."""
    gc.set_threshold(_OBJECTS)
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")  # it searches all distributions
    os.umask(os.umask(_UMASK) | _UMASK)  # what a command writes may name patients
    _name_the_user()
    _open_closed_output()
    never_fail(sys.stdout)
    never_fail(sys.stderr)
    try:
        _run()
    except FundusdError as error:
        _report(error.message, error.hint, error)
        sys.exit(error.exit_code)
    except ImportError as error:
        _report(_unusable_module(error), _INSTALL_AGAIN.format(prefix=sys.prefix), error)
        sys.exit(NotInstalled.exit_code)
    except OSError as error:
        if error.errno not in _FULL_OR_CLOSED:
            _report_defect(error)
        _discard_output()
        if error.errno == errno.EPIPE:  # whoever closed a pipe has read enough
            sys.exit(ExitStatus.OK)
        _report(f"The output cannot be written ({error.strerror}).", "", error)
        sys.exit(ExitStatus.USAGE)
    except Exception as error:  # noqa: BLE001  the top of the command line
        _report_defect(error)


def _name_the_user() -> None:
    """Give a user without a passwd entry the name and the home that libraries ask for.

    Such users are common in containers. The name is the user id, and the home can hold no file.
    """
    try:
        pwd.getpwuid(os.getuid())
    except KeyError:
        for name, value in (("LOGNAME", str(os.getuid())), ("HOME", _NO_HOME)):
            if not os.environ.get(name):
                os.environ[name] = value


def _open_closed_output() -> None:
    """Discard what is printed if the caller has closed standard output, as `>&-` does.

    Otherwise, sys.stdout is None, and the first file that is opened takes the descriptor's place.
    """
    if sys.stdout is None:
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: PTH123, SIM115  until the end


def _run() -> None:
    try:
        from fundusd.cli.commands import command_line

        command_line(sys.argv[1:])()
    except SystemExit as ended:
        if isinstance(ended.__context__, BrokenPipeError):  # Typer and rich exit with 1
            raise ended.__context__ from None
        raise
    finally:
        gc.freeze()  # at its end, Python would look at every object for garbage
        sys.stdout.flush()  # here, where an error can still be reported


def _unusable_module(error: ImportError) -> str:
    """Return a sentence that names the module that is missing or cannot be loaded."""
    if isinstance(error, ModuleNotFoundError):
        return f"fundusd is not completely installed: the Python module {error.name} is missing."
    module = error.name or "with native code"
    return (
        f"fundusd is not correctly installed: a Python module cannot be used ({module}: {error})."
    )


def _discard_output() -> None:
    """Discard what is still to be printed.

    Otherwise, Python would try again to print it at its end, and change the exit status.
    """
    with suppress(OSError):  # a service that was started without standard output has none
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _report_defect(error: Exception) -> NoReturn:
    hint = "This is a defect of fundusd. Report it with this line and the log lines before it."
    _report(_place(error), hint, error)
    sys.exit(ExitStatus.DEFECT)


def _place(error: Exception) -> str:
    """Return a sentence that names the exception's class and the place where it was raised.

    The sentence omits the exception's text, which may name a patient.
    """
    frame = traceback.extract_tb(error.__traceback__)[-1]
    file = os.path.basename(frame.filename)  # noqa: PTH119  pathlib is not imported here
    return f"fundusd broke: {type(error).__name__} in {frame.name}, {file}:{frame.lineno}."


def _report(message: str, hint: str, error: Exception) -> None:
    """Log an error, or print it to standard error if logging is not configured.

    Of all commands, only `fundusd run` configures logging.
    """
    structlog = sys.modules.get("structlog")  # importing it takes a third of a second
    if structlog is not None and structlog.is_configured():
        structlog.get_logger(service="app").critical(
            "service.failed", error=message, hint=hint, exc_info=error
        )
        return
    from fundusd.app.systemd import is_journal

    prefix = ""
    if sys.stderr is not None and is_journal(sys.stderr):
        prefix = _JOURNAL_ERROR
    with suppress(OSError):  # nobody reads standard error: the exit status still tells
        text = f"fundusd: {message}\n  {hint}" if hint else f"fundusd: {message}"
        for line in text.splitlines():
            print(prefix + line, file=sys.stderr)

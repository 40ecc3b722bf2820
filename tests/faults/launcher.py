"""Start daemons by forking a process that has imported fundusd and torch.

An interpreter that starts anew spends four seconds of processor time on imports, and `make faults`
starts some 600 daemons. A forked daemon has a process of its own with its own files, signals and
decoders. The tests in tests/end_to_end start theirs as systemd does.

    python tests/faults/launcher.py SOCKET
"""

from __future__ import annotations

import gc
import json
import os
import runpy
import select
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


class Forked:
    """A forked daemon; it offers what the tests use of subprocess.Popen."""

    def __init__(self, pid: int, stdout: IO[bytes], ending: int) -> None:
        self.pid, self.stdout = pid, stdout
        self.returncode: int | None = None
        self._ending = ending

    def poll(self) -> int | None:
        """Return the exit status, or None while the process runs."""
        try:
            return self.wait(0)
        except subprocess.TimeoutExpired:
            return None

    def wait(self, timeout: float | None = None) -> int:
        """Return the exit status, negative for a signal; raises TimeoutExpired."""
        if self.returncode is None:
            if not select.select([self._ending], [], [], timeout)[0]:
                raise subprocess.TimeoutExpired(f"daemon {self.pid}", timeout or 0)
            self.returncode = os.waitstatus_to_exitcode(int(os.read(self._ending, 16)))
        return self.returncode

    def send_signal(self, number: int) -> None:
        """Send a signal, unless the process has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """Kill the process."""
        self.send_signal(signal.SIGKILL)

    def close(self) -> None:
        """Kill and reap the process, and close its pipes."""
        self.kill()
        self.wait()
        self.stdout.close()
        os.close(self._ending)


class Launcher:
    """The process that forks daemons, from the side of the tests."""

    def __init__(self) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, __file__, str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                env={**os.environ, "OMP_NUM_THREADS": "1"},  # a process to be forked has one thread
            )
        self._socket = ours

    def start(self, program: Sequence[str], environment: Mapping[str, str]) -> Forked:
        """Fork a daemon that runs a Python program, `-m fundusd …` or `FILE …`."""
        output, output_end = os.pipe()
        ending, ending_end = os.pipe()
        request = json.dumps({"program": list(program), "environment": dict(environment)}).encode()
        try:
            socket.send_fds(
                self._socket, [len(request).to_bytes(4, "big")], [output_end, ending_end]
            )
            self._socket.sendall(request)
        finally:
            os.close(output_end)
            os.close(ending_end)
        pid = int(os.read(ending, 16))
        return Forked(pid, os.fdopen(output, "rb"), ending)

    def close(self) -> None:
        """End the process."""
        self._socket.close()
        self._process.wait()


def _keep(output: int, ending: int) -> bool:
    """Fork the daemon and wait for it; return True in the daemon only.

    The pid, then the status, are written to `ending`, 16 bytes each.
    """
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    daemon = os.fork()
    if not daemon:
        os.dup2(output, 1)
        os.dup2(output, 2)
        os.closerange(3, 256)
        return True
    os.close(output)
    os.write(ending, b"%-16d" % daemon)
    os.write(ending, b"%-16d" % os.waitpid(daemon, 0)[1])
    os._exit(0)


def _serve(connection: socket.socket) -> dict[str, Any] | None:
    """Fork a daemon for each request; return the request in the daemon, None at the end."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the kernel reaps the keepers
    while True:
        size, received, _, _ = socket.recv_fds(connection, 4, 2)
        if not size:
            return None
        text = b""
        while len(text) < int.from_bytes(size, "big"):
            text += connection.recv(65536)
        if not os.fork():
            _keep(*received)
            return json.loads(text)  # type: ignore[no-any-return]
        for descriptor in received:
            os.close(descriptor)


def _import_all() -> None:
    """Import what a daemon with the phantom model imports before it is ready."""
    import fundusd.app.daemon
    import fundusd.app.factory
    import fundusd.cli.run
    import fundusd.model.torch_backend  # noqa: F401

    gc.freeze()


def _open_streams() -> None:
    """Give this process the text streams of its own descriptors, as a new interpreter has them."""
    out = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115  for the process
    errors = open(2, "w", encoding="utf-8", buffering=1, closefd=False)  # noqa: SIM115
    vars(sys).update(stdout=out, __stdout__=out, stderr=errors, __stderr__=errors)


def _run(program: Sequence[str], environment: Mapping[str, str]) -> None:
    """Run a program in this process, as `python PROGRAM` does."""
    os.environ.clear()
    os.environ.update(environment)
    time.tzset()
    _open_streams()
    if program[0] == "-m":
        sys.argv = list(program[1:])
        runpy.run_module(program[1], run_name="__main__", alter_sys=True)
    else:
        sys.argv = list(program)
        runpy.run_path(program[0], run_name="__main__")


if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).parents[2])  # not this folder, whose names shadow others
    _import_all()
    if asked := _serve(socket.socket(fileno=int(sys.argv[1]))):
        _run(asked["program"], asked["environment"])

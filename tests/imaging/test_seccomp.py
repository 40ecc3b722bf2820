"""A confined process cannot do these things: real system calls under the real filter."""

from __future__ import annotations

import errno
import json
import os
import platform
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from fundusd.imaging import seccomp


def run_confined(program: str, **options: Any) -> subprocess.CompletedProcess[bytes]:
    """Run a program like a decoder process: isolated, and without coverage."""
    return subprocess.run(
        [sys.executable, "-I", "-c", program], check=False, capture_output=True, env={}, **options
    )


# each is tried in a process that called `confine`, and must be refused with EPERM
FORBIDDEN = {
    "open a file": "os.open('/etc/passwd', os.O_RDONLY)",
    "open another process's memory": "os.open('/proc/self/mem', os.O_RDWR)",
    "look at a file": "os.stat('/etc/passwd')",
    "list a folder": "os.listdir('/')",
    "make a file in memory": "os.memfd_create('x')",
    "make a socket": "socket.socket(socket.AF_UNIX)",
    "make an internet socket": "socket.socket(socket.AF_INET)",
    "make two sockets": "socket.socketpair()",
    "pass descriptors on": "os.dup(1)",
    "fork": "os.fork()",
    "start a program": "os.posix_spawn('/bin/true', ['true'], {})",
    "become a program": "os.execv('/bin/true', ['true'])",
    "kill": "os.kill(os.getppid(), 0)",
    "kill itself by name": "os.kill(os.getpid(), 0)",
    "remove a file": "os.unlink('/tmp/x')",
    "rename a file": "os.rename('/tmp/x', '/tmp/y')",
    "link": "os.link('/tmp/x', '/tmp/y')",
    "link symbolically": "os.symlink('/tmp/x', '/tmp/y')",
    "make a folder": "os.mkdir('/tmp/x')",
    "change a mode": "os.chmod('/tmp/x', 0)",
    "change an owner": "os.chown('/tmp/x', 0, 0)",
    "lift a limit": "call('setrlimit', resource.RLIMIT_NPROC, PAGE)",
    "become another user": "os.setuid(1)",
    "map code": "mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_EXEC)",
    "turn data into code": "call('mprotect', PAGE, 4096, 5)",
    "mount": "call('mount', b'none', b'/mnt', b'tmpfs', 0, 0)",
    "trace": "call('ptrace', 0, 0, 0, 0)",
    "read another process": "call('process_vm_readv', os.getppid(), 0, 0, 0, 0, 0)",
    "write another process": "call('process_vm_writev', os.getppid(), 0, 0, 0, 0, 0)",
    "leave the filter": "call('prctl', 22, 0, 0, 0, 0)",
    "outlive the parent": "call('prctl', 1, 0, 0, 0, 0)",
    # the same numbers on x86_64 and aarch64
    "clone with clone3": "call('syscall', 435, 0, 0)",
    "open with openat2": "call('syscall', 437, -100, b'/', 0, 0)",
    "set up io_uring": "call('syscall', 425, 1, 0)",
    "do what no kernel has yet": "call('syscall', 999)",
}
X86_64 = {
    "creat": "call('syscall', 85, b'/tmp/x', 0)",
    "vfork": "call('syscall', 58)",
    "load a program into the kernel": "call('syscall', 321, 0, 0, 0)",
    "get in by the x32 ABI": "call('syscall', 0x40000000 | 39)",
}
ATTEMPTS = """
import ctypes, json, mmap, os, resource, socket, sys, threading
from fundusd.imaging import decoder_process
memory = mmap.mmap(-1, 8192)
PAGE = ctypes.addressof(ctypes.c_char.from_buffer(memory))
PAGE = ctypes.c_void_p(-(-PAGE // 4096) * 4096)
libc = ctypes.CDLL(None, use_errno=True)
def call(name, *arguments):
    if getattr(libc, name)(*arguments) == -1:
        raise OSError(ctypes.get_errno(), name)
def outcome(attempt):
    try:
        eval(attempt)
    except OSError as error:
        return error.errno
    return 0
attempts = {name: compile(text, name, "eval") for name, text in json.load(sys.stdin).items()}
for name in ("mprotect", "setrlimit", "mount", "ptrace", "prctl", "syscall"):
    getattr(libc, name)  # resolved while files may be opened
for name in ("process_vm_readv", "process_vm_writev"):
    getattr(libc, name)
results = {"confined": decoder_process.confine(1 << 30)}
for name, attempt in attempts.items():
    results[name] = outcome(attempt)
try:
    threading.Thread(target=print).start()
except RuntimeError:
    results["thread"] = 1  # EPERM, which the exception does not carry
os.write(1, json.dumps(results).encode())
"""


def test_a_confined_process_can_do_nothing_but_compute_and_answer() -> None:
    tried = {**FORBIDDEN, **(X86_64 if platform.machine() == "x86_64" else {})}
    run = run_confined(ATTEMPTS, input=json.dumps(tried).encode())
    assert run.returncode == 0, run.stderr
    results = json.loads(run.stdout)
    assert results.pop("confined") is True
    assert results == dict.fromkeys([*tried, "thread"], errno.EPERM)


# mov eax, 20; int 0x80; ret: getpid, by the system call entry of 32-bit programs
OLD_ENTRY = """
import ctypes, mmap
from fundusd.imaging import decoder_process
page = mmap.mmap(-1, 4096, prot=7)
page.write(b"\\xb8\\x14\\0\\0\\0\\xcd\\x80\\xc3")
enter = ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(page)))
decoder_process.confine(1 << 30)
enter()
"""


@pytest.mark.skipif(platform.machine() != "x86_64", reason="only x86_64 has this entry")
def test_a_32_bit_call_ends_the_process() -> None:
    # SIGSEGV: a kernel without that entry
    assert run_confined(OLD_ENTRY).returncode in {-signal.SIGSYS, -signal.SIGSEGV}


def test_the_filter_is_for_the_thread_that_installs_it() -> None:
    def attempt() -> tuple[bool, int | None]:
        installed, refused = seccomp.install(), None
        try:
            os.open("/", os.O_RDONLY)
        except OSError as error:
            refused = error.errno
        return installed, refused

    with ThreadPoolExecutor(1) as threads:
        assert threads.submit(attempt).result() == (True, errno.EPERM)
    os.close(os.open("/", os.O_RDONLY))


def test_a_machine_without_numbers_is_left_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(seccomp, "_MACHINES", {})
    assert not seccomp.install()

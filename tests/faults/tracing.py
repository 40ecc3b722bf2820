"""Have the kernel answer a daemon's calls as a dying disk does: strace injects the faults."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path


def why_not() -> str | None:
    """Return why nothing can be injected here, or None if it can."""
    if shutil.which("strace") is None:
        return "strace is not installed"
    tried = subprocess.run(
        ["strace", "-f", "-o", os.devnull, "true"], check=False, capture_output=True
    )
    return None if tried.returncode == 0 else "strace may not trace here"


def under_strace(path: Path, calls: str, fault: str) -> tuple[str, ...]:
    """Return a command prefix that makes `calls` on `path` meet a fault: error=EIO:when=5..8."""
    trace = ("-P", str(path), "-e", f"trace={calls}", "-e", f"inject={calls}:{fault}")
    # all other calls run at full speed; but strace cannot inject signals in this mode
    fast = () if "signal=" in fault else ("--seccomp-bpf",)
    return ("strace", "-f", "-D", *fast, "-o", os.devnull, *trace)  # -D: the daemon stays our child

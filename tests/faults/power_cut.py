"""Cut the power under a ledger that commits; no test does this.

docs/operations.md, "Power cut", describes how to run it.

Each trial boots the kernel of a Debian package in QEMU, without KVM. The guest sees this machine's
files read-only (9p) and keeps the ledger on a separate disk. It prints a digest on the serial
console when `record` has returned. After a random number of digests QEMU is killed, and with it
the memory, page cache and file system of the guest. The disk is then mounted here, which replays
its journal. It must hold every result that was printed, in a ledger that still works.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import re
import shlex
import shutil
import subprocess
import sys
import tarfile
import tempfile
import termios
import threading
import time
from itertools import count
from pathlib import Path

import sqlalchemy as sa
from tests.ledger_cases import CAMERA, classify, digest_of, release

from fundusd.domain.errors import LedgerError
from fundusd.ledger import Ledger

ROOT = Path(__file__).resolve().parents[2]
TOOLS = ("qemu-system-x86_64", "busybox", "mkfs.ext4", "dpkg-deb")
PACKAGES = "apt-get install --no-install-recommends qemu-system-x86 busybox-static e2fsprogs"
KERNEL = (
    "apt-get download $(apt-cache depends linux-image-amd64"
    " | awk '/Depends: linux-image/ { print $2 }')"
)
WANTED = (
    r"/(vmlinuz-.*|(virtio(_ring|_pci.*|_blk)?|9p(net(_virtio)?)?|netfs|fscache|ext4|jbd2|mbcache"
    r"|crc.*)\.ko.*)$"
)
# If one of the last mounts fails, init ends and with it the guest: nothing is recorded elsewhere
INIT = """#!/bin/busybox sh
export PATH=/bin
busybox mkdir -p /dev /proc /host
for tool in mount depmod modprobe chroot; do busybox ln -s busybox /bin/$tool; done
mount -t proc none /proc && mount -t devtmpfs none /dev && depmod
for module in virtio_pci virtio_blk 9pnet_virtio 9p crc32c_generic ext4; do modprobe $module; done
mount -t 9p -o ro,trans=virtio,version=9p2000.L,cache=loose,msize=262144 host /host
mount -t proc none /host/proc && mount -t devtmpfs none /host/dev &&
    mount -t ext4 /dev/vda /host/mnt && exec chroot /host {command}
"""
# setpriv: QEMU never outlives this program. writethrough: a disk without a volatile cache, which
# keeps whatever it has acknowledged, so that a cut loses only what is in the guest
MACHINE = """setpriv --pdeathsig KILL
    qemu-system-x86_64 -accel tcg -cpu max -m 768 -nodefaults -display none -no-reboot
    -serial file:/dev/stdout -drive file=disk,format=raw,if=virtio,cache=writethrough
    -kernel kernel -initrd initramfs
    -virtfs local,path=/,mount_tag=host,security_model=none,readonly=on,multidevs=remap"""


def guest(ledger: Ledger, *, careless: bool) -> None:
    """Record results until the power is cut; each is printed when it is acknowledged."""
    ledger.create_if_empty()
    ledger.check()
    if careless:  # fundusd would refuse to start like this
        ledger.close()
        sa.event.listen(
            ledger.database.engine, "connect", lambda raw, _: raw.execute("PRAGMA synchronous=OFF")
        )
    with ledger.held():
        ledger.start(release())
        for number in count():
            classify(ledger, f"{number}.jpg", str(number))
            print(digest_of(str(number)), flush=True)
            termios.tcdrain(1)  # it is out of the guest before the next transaction begins


def build(package: Path, *arguments: str) -> None:
    """Extract the kernel and a few modules from its package, and make the guest's first files."""
    unpack = ["dpkg-deb", "--fsys-tarfile", str(package)]
    with (
        subprocess.Popen(unpack, stdout=subprocess.PIPE) as unpacking,
        tarfile.open(fileobj=unpacking.stdout, mode="r|") as files,
    ):
        files.extractall(
            "tree", (file for file in files if re.search(WANTED, file.name)), filter="data"
        )
    if not list(Path("tree").rglob("9p.ko*")):
        sys.exit(
            f"This kernel has no 9p, like Debian's cloud kernel. Use the standard one:\n  {KERNEL}"
        )
    next(Path("tree/boot").iterdir()).rename("kernel")
    environment = [f"PYTHONPATH={ROOT}/daemon:{ROOT}", "PYTHONDONTWRITEBYTECODE=1"]
    command = ["/usr/bin/env", *environment, sys.executable, __file__, "--guest", *arguments]
    Path("tree/init").write_text(INIT.format(command=shlex.join(command)))
    Path("tree/init").chmod(0o755)
    Path("tree/bin").mkdir()
    shutil.copy(str(shutil.which("busybox")), "tree/bin/busybox")
    pack = "cd tree && find . | busybox cpio -o -H newc 2>/dev/null >../initramfs"
    subprocess.run(["sh", "-c", pack], check=True)


def cut(after: int) -> list[str]:
    """Boot the guest, kill QEMU after so many results were printed, and return all that were."""
    printed: list[str] = []
    other: list[str] = []
    command = [*MACHINE.split(), "-append", "console=ttyS0 quiet panic=-1"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, errors="replace") as qemu:
        deadline = threading.Timer(600, qemu.kill)
        deadline.daemon = True
        deadline.start()
        for line in qemu.stdout or ():
            # a digest that was cut off was not printed
            (printed if re.fullmatch(r"[0-9a-f]{64}\n", line) else other).append(line.strip())
            if len(printed) == after:
                # about the time of one round, so that the cut may hit any transaction
                time.sleep(random.uniform(0, 0.5))
                qemu.kill()
        deadline.cancel()
    if len(printed) < after:
        sys.exit("The guest ended too early:\n" + "\n".join(other[-30:]))
    return printed


def inspect(ledger: Ledger, printed: list[str]) -> tuple[int, str, str]:
    """Return how many of these results are there, and the verdicts of SQLite and the ledger."""
    present, integrity = 0, "-"
    try:
        ledger.check()
        present = len({row["digest"] for row in ledger.results(outcome="graded")} & set(printed))
        with ledger.database.reading() as connection:
            integrity = str(connection.exec_driver_sql("PRAGMA integrity_check").scalar_one())
        with ledger.held():  # as the next start does
            ledger.start(release())
            classify(ledger, "after.jpg", "after")
        verdict = ledger.verify()
    except LedgerError as error:
        return present, integrity, str(error)
    return present, integrity, verdict.problem or "holds"


def trial() -> tuple[int, int, str, str]:
    """Cut the power once and inspect the disk."""
    Path("disk").unlink(missing_ok=True)
    subprocess.run(["mkfs.ext4", "-q", "disk", "256M"], check=True, stdout=subprocess.DEVNULL)
    printed = cut(random.randint(20, 200))
    subprocess.run(["mount", "-o", "loop", "disk", "mnt"], check=True)
    ledger = open_ledger("mnt")
    try:
        return len(printed), *inspect(ledger, printed)
    finally:
        ledger.close()
        subprocess.run(["umount", "mnt"], check=True)


def open_ledger(folder: str) -> Ledger:
    return Ledger(f"sqlite:///{Path(folder).resolve()}/fundusd.db", cameras=[CAMERA])


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument(
        "kernel", type=Path, nargs="?", help="package of a Debian kernel that has 9p"
    )
    parser.add_argument("--trials", type=int, default=5)
    parser.add_argument(
        "--careless",
        action="store_true",
        help="the control, with synchronous=OFF: some must be lost",
    )
    parser.add_argument("--guest", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.guest:
        guest(open_ledger("/mnt"), careless=options.careless)
    if lacking := [tool for tool in TOOLS if not shutil.which(tool)]:
        sys.exit(f"Not installed: {', '.join(lacking)}. To install them:\n  {PACKAGES}")
    if options.kernel is None or not options.kernel.is_file():
        sys.exit(f"Which kernel? To fetch one without installing it:\n  {KERNEL}")
    if os.geteuid() != 0:
        sys.exit("Mounting the disk afterwards needs root.")
    package, sound = options.kernel.resolve(), True
    with (
        tempfile.TemporaryDirectory(dir="/var/tmp", prefix="power-cut-") as folder,
        contextlib.chdir(folder),
    ):
        Path("mnt").mkdir()
        build(package, *(["--careless"] if options.careless else []))
        print(
            "| trial | acknowledged | found | integrity | chain |\n|---|---|---|---|---|",
            flush=True,
        )
        for number in range(1, options.trials + 1):
            acknowledged, *seen = trial()
            sound &= seen == [acknowledged, "ok", "holds"]
            print(f"| {number} | {acknowledged} | {' | '.join(map(str, seen))} |", flush=True)
    if sound and options.careless:
        sys.exit("Nothing was lost without fsync either: these trials prove nothing.")
    sys.exit(not sound and not options.careless)


if __name__ == "__main__":
    main()

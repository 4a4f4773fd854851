"""Boots one guest under emulation, runs one command in it, and brings back its exit status and files.

A guest has one CPU. qemu runs each emulated CPU in a thread, and sometimes one thread does not see a change that the
kernel made to its own code (jump labels, kprobes, trampolines): the kernel panics on "int3". So several guests run at
the same time instead.
"""

from __future__ import annotations

import io
import shutil
import subprocess
import tarfile
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Optional

from tests.vm.kernels import KernelFiles

#: Directories of the working tree that no test reads.
NOT_SHIPPED = {".git", ".venv", "build", ".mypy_cache", ".ruff_cache", ".pytest_cache", ".hypothesis", "__pycache__"}
RESULTS_BYTES = 64 << 20

_running: set[subprocess.Popen[bytes]] = set()


@dataclass(frozen=True)
class Machine:
    """A guest: kernel, root image (read only), boot parameters, memory, time limit.

    ``chroot`` is a tar archive. Tests in the guest find it as ``.vm/chroot.tar``.
    """

    kernel: KernelFiles
    root: Path
    parameters: str = ""
    memory_mb: int = 2048
    timeout_s: float = 600
    chroot: Optional[Path] = None


@dataclass(frozen=True)
class Outcome:
    """How a guest's command ended. ``status`` is None if the guest died, hung or was killed before."""

    status: Optional[int]
    seconds: float
    timed_out: bool


def run_in_guest(machine: Machine, project: Path, command: str, home: Path, kept: Path) -> Outcome:
    """Run the shell text ``command`` as root in ``/closetrace``. Put its ``/out`` and the console into ``home``.

    The guest finds the files of the directory ``kept`` in ``/keep``.
    """
    shutil.rmtree(home, ignore_errors=True)
    home.mkdir(parents=True)
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="closetrace-vm-") as scratch:
        payload, results = Path(scratch, "project.tar"), Path(scratch, "results.raw")
        _pack(project, command, kept, machine.chroot, payload)
        with results.open("wb") as file:
            file.truncate(RESULTS_BYTES)
        timed_out = _boot(machine, payload, results, home / "console.log")
        status = _unpack(results, home)
    return Outcome(status, time.monotonic() - started, timed_out)


def _pack(project: Path, command: str, kept: Path, chroot: Optional[Path], payload: Path) -> None:
    with tarfile.open(payload, "w") as tar:
        if chroot:
            tar.add(chroot, ".vm/chroot.tar")
        if kept.exists():
            tar.add(kept, ".vm/keep")
        for entry in sorted(project.iterdir()):
            if entry.name not in NOT_SHIPPED:
                tar.add(entry, entry.name, filter=_owned_by_root)
        script = tarfile.TarInfo(".vm/command")
        script.size = len(command.encode())
        tar.addfile(script, io.BytesIO(command.encode()))


def _owned_by_root(entry: tarfile.TarInfo) -> Optional[tarfile.TarInfo]:
    if Path(entry.name).name in NOT_SHIPPED:
        return None
    entry.uid = entry.gid = 0
    entry.uname = entry.gname = "root"
    return entry


def _boot(machine: Machine, payload: Path, results: Path, console: Path) -> bool:
    """Run qemu until the guest powers off. Return True if it had to be killed at the time limit."""
    with console.open("wb") as log:
        qemu = subprocess.Popen(
            _qemu_command(machine, payload, results),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        _running.add(qemu)
        try:
            qemu.wait(machine.timeout_s)
        except subprocess.TimeoutExpired:
            return True
        finally:
            qemu.kill()
            qemu.wait()
            _running.discard(qemu)
    return False


def kill_guests() -> None:
    """End every guest that runs now."""
    for qemu in list(_running):
        qemu.kill()


def _qemu_command(machine: Machine, payload: Path, results: Path) -> list[str]:
    kernel = machine.kernel
    disks = [
        f"file={machine.root},format=raw,if=virtio,snapshot=on",
        f"file={kernel.modules},format=raw,if=virtio,readonly=on",
        f"file={payload},format=raw,if=virtio,readonly=on",
        f"file={results},format=raw,if=virtio,cache=unsafe",
    ]
    # setpriv: qemu ends with the process that started it, even if that is killed.
    return [
        "setpriv", "--pdeathsig", "KILL", "qemu-system-x86_64", "-machine", "q35,accel=tcg", "-cpu", "max",
        "-m", f"{machine.memory_mb}M", "-nodefaults", "-no-user-config",
        "-display", "none", "-serial", "stdio",
        "-no-reboot", "-nic", "none", "-kernel", str(kernel.vmlinuz), "-initrd", str(kernel.initrd),
        "-append", f"console=ttyS0 quiet panic=-1 {machine.parameters}".strip(),
        *(part for disk in disks for part in ("-drive", disk)),
    ]  # fmt: skip


def _unpack(results: Path, home: Path) -> Optional[int]:
    """Unpack the guest's ``/out`` into ``home``. Return the command's exit status, None if there is none."""
    try:
        with tarfile.open(results) as tar:
            for member in tar:
                top, _, rest = member.name.partition("/")
                source = tar.extractfile(member) if member.isfile() else None
                if source and top == "out" and ".." not in rest.split("/"):
                    (home / rest).parent.mkdir(parents=True, exist_ok=True)
                    (home / rest).write_bytes(source.read())
        return int((home / "status").read_text())
    except (tarfile.TarError, OSError, ValueError):
        return None

"""Makes the files that a guest boots from out of a suite's kernel packages, and caches them.

The result is the directory ``kernels/<kernel>`` in the cache: ``vmlinuz``, ``initrd.img`` (busybox, the modules that
reach the root disk, and ``init.sh``) and ``modules.img`` (ext4, mounted on /lib/modules/<abi>). ``manifest.json``
holds the ABI and each file's SHA-256; files that do not match it are made again.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.vm.debian import Suite

HERE = Path(__file__).resolve().parent
#: Modules to reach the root disk. Their dependencies are added.
BOOT_MODULES = ("virtio_pci", "virtio_blk", "ext4")
#: The only parts of drivers/ that a guest uses. The rest is four fifths of the package.
KEPT_DRIVERS = (
    "block",
    "virtio",
    "char/hw_random",
    "net/veth",
    "net/dummy",
    "net/tun",
    "net/virtio_net",
    "net/net_failover",
)


@dataclass(frozen=True)
class KernelFiles:
    """What qemu needs to boot a kernel. ``abi`` is its ``uname -r``."""

    abi: str
    vmlinuz: Path
    initrd: Path
    modules: Path


def kernel_files(name: str, suite: Suite, packages: Sequence[str], cache: Path) -> KernelFiles:
    """Return the boot files of kernel ``name``: from the cache if they are whole there, else from ``suite``."""
    home = cache / "kernels" / name
    if not _is_whole(home, packages):
        _fetch(home, suite, packages)
    abi = json.loads((home / "manifest.json").read_text())["abi"]
    return KernelFiles(abi, home / "vmlinuz", home / "initrd.img", home / "modules.img")


def _is_whole(home: Path, packages: Sequence[str]) -> bool:
    """Whether the cached files are whole, and were made from ``packages`` by this version of the recipe."""
    try:
        manifest = json.loads((home / "manifest.json").read_text())
        files: dict[str, str] = manifest["sha256"]
        return manifest["recipe"] == _recipe(packages) and all(_sha256(home / f) == h for f, h in files.items())
    except (OSError, ValueError, KeyError):
        return False


def _recipe(packages: Sequence[str]) -> str:
    parts = [Path(__file__).read_text(), (HERE / "init.sh").read_text(), *packages]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        for block in iter(lambda: file.read(1 << 20), b""):
            digest.update(block)
    return digest.hexdigest()


def _fetch(home: Path, suite: Suite, packages: Sequence[str]) -> None:
    shutil.rmtree(home, ignore_errors=True)
    home.mkdir(parents=True)
    suite.update()
    abi = suite.kernel_abi()
    with tempfile.TemporaryDirectory(dir=home) as scratch:
        unpacked, tree = Path(scratch, "unpacked"), Path(scratch, "tree")
        names = [p.format(abi=abi, common=abi.replace("amd64", "common")) for p in packages]
        for deb in suite.download(names, Path(scratch, "debs")):
            subprocess.run(["dpkg-deb", "-x", deb, unpacked], check=True)
        kernels = list(unpacked.rglob("vmlinuz*"))
        if not kernels:
            raise LookupError(f"no vmlinuz in {', '.join(names)}: name the package that has it in kernels.json")
        shutil.copy(kernels[0], home / "vmlinuz")
        _move_modules(unpacked, tree, abi)
        _make_initrd(tree, abi, Path(scratch, "initrd"), home / "initrd.img")
        if Path(unpacked, "usr/src").exists():
            # Kept next to the modules, and not installed: a test mounts them on /usr/src.
            shutil.move(str(unpacked / "usr/src"), str(tree / "lib/modules" / abi / "headers"))
        make_ext4(tree / "lib/modules" / abi, home / "modules.img", slack_mb=8)
    files = {file: _sha256(home / file) for file in ("vmlinuz", "initrd.img", "modules.img")}
    manifest = {"abi": abi, "recipe": _recipe(packages), "sha256": files}
    (home / "manifest.json").write_text(json.dumps(manifest, indent=2) + "\n")


def _move_modules(unpacked: Path, tree: Path, abi: str) -> None:
    """Move the modules to ``tree/lib/modules/<abi>``, remove the drivers that no guest uses, and index them."""
    modules = tree / "lib/modules" / abi
    modules.parent.mkdir(parents=True)
    shutil.move(str(next(unpacked.rglob(f"lib/modules/{abi}"))), str(modules))
    drivers = modules / "kernel/drivers"
    kept = re.compile("|".join(re.escape(f"/{k}") + r"[/.]" for k in KEPT_DRIVERS))
    for module in drivers.rglob("*.ko*"):
        if not kept.search("/" + str(module.relative_to(drivers))):
            module.unlink()
    subprocess.run(["depmod", "-b", tree, abi], check=True)


def _make_initrd(tree: Path, abi: str, scratch: Path, initrd: Path) -> None:
    (scratch / "bin").mkdir(parents=True)
    (scratch / "modules").mkdir()
    shutil.copy("/bin/busybox", scratch / "bin/busybox")
    shutil.copy(HERE / "init.sh", scratch / "init")
    (scratch / "init").chmod(0o755)
    for number, module in enumerate(_in_load_order(tree, abi)):
        target = scratch / "modules" / f"{number:02}-{module.name.split('.')[0]}.ko"
        unpacker = {".xz": ["xz", "-dc"], ".zst": ["zstd", "-dcq"]}.get(module.suffix, ["cat"])
        with target.open("wb") as out:
            subprocess.run([*unpacker, module], check=True, stdout=out)
    names = "\n".join(sorted(str(p.relative_to(scratch)) for p in scratch.rglob("*")))
    with initrd.open("wb") as out:
        subprocess.run(
            ["cpio", "--quiet", "-o", "-H", "newc"], input=names.encode(), cwd=scratch, stdout=out, check=True
        )


def _in_load_order(tree: Path, abi: str) -> list[Path]:
    ordered: dict[Path, None] = {}
    for name in BOOT_MODULES:
        shown = subprocess.run(
            ["modprobe", "-d", tree, "-S", abi, "--show-depends", name], check=True, stdout=subprocess.PIPE, text=True
        ).stdout
        ordered.update(dict.fromkeys(Path(line.split()[1]) for line in shown.splitlines() if line.startswith("insmod")))
    return list(ordered)


def make_ext4(directory: Path, image: Path, slack_mb: int) -> None:
    """Make an ext4 image of ``directory`` with at least ``slack_mb`` MiB of free space."""
    used = int(subprocess.run(["du", "-sm", directory], check=True, stdout=subprocess.PIPE).stdout.split()[0])
    image.unlink(missing_ok=True)
    subprocess.run(
        ["mke2fs", "-q", "-t", "ext4", "-O", "^has_journal", "-E", "root_owner=0:0", "-d", directory, image,
         f"{int(used * 1.15) + slack_mb}M"], check=True,
    )  # fmt: skip

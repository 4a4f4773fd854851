"""The small header tree that stands in for kernel headers: bcc compiles against it, its types come from BTF.

bcc takes a tree for kernel headers if it has ``include/linux/kconfig.h``, which it includes before all else, so that
one file holds everything and the others that bcc's helpers name are empty.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import stat
import tempfile
from pathlib import Path
from typing import Optional

from tracer import __version__
from tracer.errors import HostUnsupported
from tracer.kernel.btf import Btf
from tracer.kernel.features import BTF_PATH
from tracer.kernel.structures import FIELDS, declarations

CACHE = Path("/var/cache/closetrace")
_EMPTY = (
    "uapi/linux/bpf.h",
    "uapi/linux/if_packet.h",
    "uapi/linux/if_ether.h",
    "uapi/linux/ptrace.h",
    "linux/version.h",
    "linux/log2.h",
    "linux/types.h",
    "linux/bpf_common.h",
    "asm/page.h",
)


def bpf_directory() -> Path:
    """Where the C sources are: beside the package in a checkout, inside it when installed."""
    package = Path(__file__).resolve().parent.parent
    for candidate in (package.parent / "bpf", package / "bpf"):
        if (candidate / "closetrace.bpf.c").is_file():
            return candidate
    raise HostUnsupported("the kernel-side sources (bpf/) are missing from this installation")


def _kconfig(btf: Btf) -> str:
    shim = bpf_directory() / "shim"
    major, minor = (int(part) for part in os.uname().release.split("-")[0].split(".")[:2])
    version = f"#define LINUX_VERSION_CODE KERNEL_VERSION({major}, {minor}, 0)\n"
    return (shim / "prelude.h").read_text() + version + (shim / "helper_ids.h").read_text() + declarations(btf)


def _fingerprint() -> str:
    digest = hashlib.sha256(f"{__version__} {sorted(FIELDS.items())}".encode())
    for path in (Path(BTF_PATH), *sorted((bpf_directory() / "shim").glob("*.h"))):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:24]


def trusted(path: Path) -> bool:
    """Whether nobody else can have written to this directory: root compiles and loads what lies in it."""
    with contextlib.suppress(OSError):
        status = os.lstat(path)
        return stat.S_ISDIR(status.st_mode) and status.st_uid == os.geteuid() and not status.st_mode & 0o022
    return False


def _write_tree(root: Path, kconfig: str) -> None:
    include = root / "include"
    for name in _EMPTY:
        (include / name).parent.mkdir(parents=True, exist_ok=True)
        (include / name).write_text("")
    (include / "linux/kconfig.h").write_text(kconfig)


def _build(parent: Path, name: str, btf: Btf) -> Optional[Path]:
    """Make the tree under a temporary name and rename it, so that two runs at once cannot see half of one.

    None if something that is not to be trusted has the name. OSError leaves nothing behind.
    """
    building = Path(tempfile.mkdtemp(prefix=f".{name}.", dir=parent))
    tree = parent / name
    try:
        _write_tree(building, _kconfig(btf))
        with contextlib.suppress(OSError):  # another run was first
            building.rename(tree)
    finally:
        shutil.rmtree(building, ignore_errors=True)
    return tree if trusted(tree) else None


def header_tree(btf: Btf, cache: Path = CACHE) -> tuple[Path, Optional[Path]]:
    """The tree for this kernel, from the cache or made now; the second value is a directory to remove after use.

    Where the cache cannot be written (no space, read-only file system) or trusted the tree goes to a private temporary
    directory. Raises HostUnsupported if that fails as well.
    """
    name = _fingerprint()
    with contextlib.suppress(OSError):
        cache.mkdir(mode=0o700, parents=True, exist_ok=True)
        if trusted(cache):
            tree = cache / name if trusted(cache / name) else _build(cache, name, btf)
            if tree is not None:
                return tree, None
    try:
        return _private_tree(name, btf)
    except OSError as error:
        raise HostUnsupported(
            f"no room for the generated headers in {cache} or {tempfile.gettempdir()}: {error.strerror}"
        ) from None


def _private_tree(name: str, btf: Btf) -> tuple[Path, Path]:
    private = Path(tempfile.mkdtemp(prefix="closetrace-"))
    try:
        _write_tree(private / name, _kconfig(btf))
    except BaseException:
        shutil.rmtree(private, ignore_errors=True)
        raise
    return private / name, private


def installed_headers() -> Optional[Path]:
    """The distribution's headers for the running kernel, which bcc finds by itself; None without them."""
    modules = Path("/lib/modules") / os.uname().release
    for name in ("source", "build"):
        if (modules / name / "include/linux/kconfig.h").is_file():
            return modules / name
    return None

"""Makes a small header tree that bcc compiles with in place of kernel headers. Its types come from BTF.

bcc accepts a directory as kernel headers if it has ``include/linux/kconfig.h``, and includes that file first. So this
file holds all declarations, and the other headers that bcc's helpers include are empty. The tree also keeps the other
facts that closetrace needs from BTF: reading BTF is slow, so only the first start does it. And only the first start
imports what it takes to write the tree.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import stat
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Optional

from tracer import __version__
from tracer.digests import sha256
from tracer.errors import HostUnsupported
from tracer.kernel.btf import Btf
from tracer.kernel.features import BTF_PATH
from tracer.kernel.hooks import CAST, CAST_TO, FUNCTIONS, HELPERS, TRACEPOINTS, Hooks, from_text, hooks_in, read_hooks
from tracer.kernel.structures import FIELDS, OPTIONAL, declarations
from tracer.trail import Took, Trail

if TYPE_CHECKING:
    import hashlib

_log = Trail(__name__)

CACHE = Path("/var/cache/closetrace")
_KCONFIG, _HOOKS = "include/linux/kconfig.h", "hooks.json"
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
    """The directory of the C sources (in a checkout a link to bpf/). Raises HostUnsupported if it is missing."""
    directory = Path(__file__).resolve().parent.parent / "bpf"
    if (directory / "closetrace.bpf.c").is_file():
        return directory
    raise HostUnsupported(f"the kernel-side sources are missing from this installation ({directory})")


def _kconfig(btf: Btf) -> str:
    shim = bpf_directory() / "shim"
    major, minor = (int(part) for part in os.uname().release.split("-")[0].split(".")[:2])
    version = f"#define LINUX_VERSION_CODE KERNEL_VERSION({major}, {minor}, 0)\n"
    return (shim / "prelude.h").read_text() + version + (shim / "helper_ids.h").read_text() + declarations(btf)


def _contents(read: Callable[[], Btf]) -> dict[str, str]:
    """The files of the tree that are not empty."""
    btf = read()
    try:
        return {_KCONFIG: _kconfig(btf), _HOOKS: hooks_in(btf).to_text()}
    finally:
        btf.close()


def _fingerprint() -> str:
    asked = f"{__version__} {sorted(FIELDS.items())} {sorted(OPTIONAL.items())} {FUNCTIONS} {TRACEPOINTS} {HELPERS}"
    asked += f" {CAST} {CAST_TO}"
    digest = sha256(asked.encode())
    _add_content(digest, Path(BTF_PATH))
    for path in sorted((bpf_directory() / "shim").glob("*.h")):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:24]


def _add_content(digest: hashlib._Hash, path: Path) -> None:
    """Hash BTF, which is several MB. sysfs gives it page by page. mmap takes half the time, where the kernel has it."""
    with open(path, "rb") as file:
        try:
            with mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ, flags=mmap.MAP_PRIVATE) as content:
                digest.update(content)
        except (OSError, ValueError):
            digest.update(file.read())


def trusted(path: Path) -> bool:
    """Whether only this user can write to the directory. Root compiles and loads what is in it."""
    with contextlib.suppress(OSError):
        status = os.lstat(path)
        return stat.S_ISDIR(status.st_mode) and status.st_uid == os.geteuid() and not status.st_mode & 0o022
    return False


def _write_tree(root: Path, contents: Mapping[str, str]) -> None:
    for name, content in {**dict.fromkeys((f"include/{empty}" for empty in _EMPTY), ""), **contents}.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(content)


def _build(parent: Path, name: str, contents: Mapping[str, str]) -> Optional[Path]:
    """Make the tree under a temporary name and rename it, so that another run never sees half of a tree.

    Return None if the name belongs to something that is not trusted. An OSError leaves nothing behind.
    """
    import shutil
    import tempfile

    building = Path(tempfile.mkdtemp(prefix=f".{name}.", dir=parent))
    tree = parent / name
    try:
        _write_tree(building, contents)
        with contextlib.suppress(OSError):  # another run was first
            building.rename(tree)
    finally:
        shutil.rmtree(building, ignore_errors=True)
    return tree if trusted(tree) else None


def header_tree(read: Callable[[], Btf] = Btf, cache: Path = CACHE) -> tuple[Path, Optional[Path]]:
    """Return the tree for this kernel, and a directory that the caller removes after use (None: no directory).

    If the tree is not in the cache it is made from BTF, which ``read`` opens. If the cache cannot be written (no space,
    read-only file system) or is not trusted, the tree is made in a private temporary directory. Raises HostUnsupported
    if that fails too.
    """
    took = Took()
    name = _fingerprint()
    if trusted(cache) and trusted(cache / name):
        _log.debug("header tree from the cache %s in %s", cache / name, took)
        return cache / name, None
    contents = _contents(read)
    with contextlib.suppress(OSError):
        cache.mkdir(mode=0o700, parents=True, exist_ok=True)
        tree = _build(cache, name, contents) if trusted(cache) else None
        if tree is not None:
            _log.debug("header tree made in the cache %s in %s", tree, took)
            return tree, None
    try:
        private = _private_tree(name, contents)
        _log.debug("header tree made in %s, because the cache %s cannot be used, in %s", private[0], cache, took)
        return private
    except OSError as error:
        import tempfile

        raise HostUnsupported(
            f"cannot write the generated headers to {cache} or {tempfile.gettempdir()}: {error.strerror}"
        ) from None


def _private_tree(name: str, contents: Mapping[str, str]) -> tuple[Path, Path]:
    import shutil
    import tempfile

    private = Path(tempfile.mkdtemp(prefix="closetrace-"))
    try:
        _write_tree(private / name, contents)
    except BaseException:
        shutil.rmtree(private, ignore_errors=True)
        raise
    return private / name, private


def kept_hooks(tree: Path, read: Callable[[], Btf] = Btf) -> Hooks:
    """The hooks that the tree keeps. If that file is damaged they are read from BTF, which ``read`` opens."""
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        return from_text((tree / _HOOKS).read_text(encoding="ascii"))
    return read_hooks(read)


def installed_headers() -> Optional[Path]:
    """The directory of the distribution's headers for the running kernel, None without them. bcc finds it by itself."""
    modules = Path("/lib/modules") / os.uname().release
    for name in ("source", "build"):
        if (modules / name / "include/linux/kconfig.h").is_file():
            return modules / name
    return None

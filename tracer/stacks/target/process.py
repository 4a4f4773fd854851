"""One target process: identity, memory map, memory, and the files behind its mappings.

Every file is opened relative to a descriptor of ``/proc/PID``. The kernel binds this descriptor to the process, not to
the number: after the process has exited, look-ups fail with ESRCH, even if another process has the same pid now
(proc(5), fs/proc/base.c). So a Process never becomes another process.
"""

from __future__ import annotations

import contextlib
import os
import time
from bisect import bisect_right
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Callable, Optional

from tracer.host.opening import exists_below, open_below, open_linked, open_own, real_below
from tracer.model.program import ProgramFile
from tracer.stacks.target.maps import Mapping, parse_maps, same_code

if TYPE_CHECKING:  # processes are opened before attaching, files of theirs are parsed later
    from tracer.stacks.elf.image import Given

_MAPS_FRESH_SECONDS = 1.0
_MAPS_DUTY = 50
"""The pause before maps are read again, as a multiple of the time that the last read took."""
_MAPS_LIMIT_BYTES = 64 << 20
_TICK_NS = 1_000_000_000 // os.sysconf("SC_CLK_TCK")
_MAX_VDSO_BYTES = 1 << 20
_NO_ADDRESS = 1 << 62
LONGEST_PATH = 4096
"""PATH_MAX of the kernel: no path is longer."""
_NEVER_NS = (1 << 63) - 1


class ProcessGone(Exception):
    """The process has exited, or its /proc files may not be read. The text says which."""


@dataclass(frozen=True)
class Identity:
    """Tells a process from a later one with the same pid. ``start``: field 22 of ``/proc/PID/stat`` (clock ticks)."""

    pid: int
    start: int


class Process:
    """A process that was alive at :meth:`open`. After its exit the cached maps stay usable, and reads raise."""

    def __init__(self, identity: Identity, directory: int, memory: Optional[int]) -> None:
        self.identity = identity
        self.pid = identity.pid
        self._directory = directory
        self._memory = memory
        self._maps_text = b""
        self._maps_stale_at = 0.0
        self._starts: list[int] = []
        self._mappings: list[Mapping] = []
        self._read_ns = self._ran_ns = 0
        self._there_since: dict[int, int] = {}
        self._left_alone = False
        self.known_since_ns = 0
        """It took this program by an exec that nobody saw, at this time (ns of CLOCK_MONOTONIC) or before; 0: none."""
        self.number = 0
        """What tracer/stacks/parsing.py calls it."""
        self.barred: frozenset[int] = frozenset()
        """What is not to be parsed of it (:class:`tracer.stacks.parsing.Part`)."""
        self.maps_generation = 0
        """Grows with each change of the maps. Data computed from older maps may be wrong then."""

    @classmethod
    def open(cls, pid: int) -> Process:
        """Pin the process ``pid`` (thread group id). Raises ProcessGone."""
        try:
            directory = os.open(f"/proc/{pid}", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        except (OSError, OverflowError):
            raise ProcessGone(f"process {pid} does not exist") from None
        try:
            directory = _with_memory(directory)
            start = _start_time(directory)
        except OSError as error:
            os.close(directory)
            raise ProcessGone(f"process {pid} exited ({error.strerror})") from None
        memory: Optional[int] = None
        with contextlib.suppress(OSError):
            memory = os.open("mem", os.O_RDONLY | os.O_CLOEXEC, dir_fd=directory)
        process = cls(Identity(pid, start), directory, memory)
        if not process.refresh():
            process.close()
            raise ProcessGone(f"process {pid} has no memory (any more)")
        return process

    def close(self) -> None:
        """Close the descriptors. The cached maps stay usable."""
        for descriptor in (self._directory, self._memory):
            if descriptor is not None and descriptor >= 0:
                os.close(descriptor)
        self._directory = -1
        self._memory = None

    def leave_alone(self) -> None:
        """Never touch its memory or maps again: somebody waits in there already, and whoever comes next would, too.

        A page of it comes from a file system that does not answer (FUSE). Meanwhile the reader has the address space
        locked; a thread that wants to map memory waits for that lock, and all others behind it.
        """
        self._left_alone = True

    def same_program(self) -> bool:
        """Whether the process still runs the program that was opened: no exit and no exec since.

        A descriptor of ``mem`` belongs to the address space at the time of its open. When nobody uses that address
        space any more, reads give 0 bytes (mem_rw in fs/proc/base.c). No process has anything at this address, so
        no page is touched: a page may be one that another program has to provide, and never does.
        """
        if self._memory is None or not self._mappings or self._left_alone:
            return self._alive()
        asked_ns = time.monotonic_ns()
        try:
            same = os.pread(self._memory, 1, _NO_ADDRESS) != b""
        except OSError:  # EIO: nothing is there, but the address space exists
            same = True
        if same:
            self._ran_ns = asked_ns
        return same

    def ran_at(self, ns: Optional[int]) -> bool:
        """Whether it is known that the process ran this program still at ``ns`` (CLOCK_MONOTONIC): no call is made."""
        return ns is not None and ns <= self._ran_ns

    def refresh(self) -> bool:
        """Read the maps again. True if they changed. After exit or exec, the last known maps stay."""
        if self._left_alone:
            return False
        begun, begun_ns = time.monotonic(), time.monotonic_ns()
        text = self.read_proc("maps", _MAPS_LIMIT_BYTES)
        if self._mappings and not self.same_program():
            text = b""  # another program's
        changed = bool(text) and text != self._maps_text
        if changed:
            self._maps_text = text
            self._take(parse_maps(text))
            self.maps_generation += 1
        if text:
            self._read_ns = begun_ns
        ended = time.monotonic()
        self._maps_stale_at = ended + max(_MAPS_FRESH_SECONDS, _MAPS_DUTY * (ended - begun))
        return changed

    def _take(self, mappings: list[Mapping]) -> None:
        """Know ``mappings`` from now on, and since when the code of files is there that came new."""
        now, fresh = time.monotonic_ns(), {}
        for mapping in mappings if self._mappings else ():
            if not (mapping.executable and mapping.is_file):
                continue
            before = self.mapping(mapping.start)
            if before is not None and same_code(before, mapping):
                if before.start in self._there_since:
                    fresh[mapping.start] = self._there_since[before.start]
                continue
            over = any(m.executable and m.start < mapping.end and mapping.start < m.end for m in self._mappings)
            fresh[mapping.start] = now if over else self._read_ns  # where nothing was it may have come soon after
        self._there_since = fresh
        self._mappings = mappings
        self._starts = [mapping.start for mapping in mappings]

    def was_replaced(self, mapping: Mapping, ns: Optional[int]) -> bool:
        """Whether other code may have been where ``mapping`` is, at the time ``ns`` (CLOCK_MONOTONIC; None: now).

        Known as well as the maps were read: what came and went between two readings is not seen.
        """
        return ns is not None and ns < self._there_since.get(mapping.start, 0)

    def same_files(self, ns: Optional[int]) -> tuple[int, int]:
        """The time around ``ns`` (both CLOCK_MONOTONIC, None: now) in which no file's code that is there now came.

        First and last nanosecond, as far as the maps that were read tell.
        """
        came = sorted(self._there_since.values())
        index = len(came) if ns is None else bisect_right(came, ns)
        return came[index - 1] if index else 0, came[index] - 1 if index < len(came) else _NEVER_NS

    @property
    def began_ns(self) -> int:
        """When this process began (CLOCK_MONOTONIC), or up to a clock tick before."""
        asleep_ns = time.clock_gettime_ns(time.CLOCK_BOOTTIME) - time.monotonic_ns()
        return self.identity.start * _TICK_NS - asleep_ns

    def began_after(self, ns: Optional[int]) -> bool:
        """Whether this process began after ``ns`` (CLOCK_MONOTONIC): then what was seen at ``ns`` had its number."""
        return ns is not None and ns < self.began_ns

    def refresh_if_old(self) -> bool:
        """Read the maps again if the last read is older than about one second. True if they changed."""
        return time.monotonic() > self._maps_stale_at and self.refresh()

    @cached_property
    def owner(self) -> int:
        """The user id that the process has (the effective one, of which its files are), 0 if that is not known."""
        words = self.status_field("Uid")
        return int(words[1]) if len(words) > 1 and words[1].isdigit() else 0

    @property
    def maps_text(self) -> bytes:
        """The text of ``/proc/PID/maps`` as last read."""
        return self._maps_text

    @property
    def there_since(self) -> dict[int, int]:
        """Since when (CLOCK_MONOTONIC ns) code is mapped that was not there at first, by the mapping's start."""
        return self._there_since

    @property
    def memory(self) -> Optional[int]:
        """The descriptor of ``/proc/PID/mem``, which stays this object's; None if it may not be read."""
        return self._memory

    @property
    def mappings(self) -> tuple[Mapping, ...]:
        """All mappings, by address, as last read."""
        return tuple(self._mappings)

    def mapping(self, address: int) -> Optional[Mapping]:
        """Find the mapping that holds ``address`` in the maps as last read; None if there is none."""
        index = bisect_right(self._starts, address) - 1
        if index >= 0 and address < self._mappings[index].end:
            return self._mappings[index]
        return None

    def read(self, address: int, size: int) -> bytes:
        """Read ``size`` bytes of live memory at ``address``. Raises MemoryUnreadable."""
        data = self.read_up_to(address, size)
        if len(data) != size or size < 0:
            from tracer.stacks.chain import MemoryUnreadable

            raise MemoryUnreadable(f"memory at {address:#x} cannot be read")
        return data

    def read_up_to(self, address: int, size: int) -> bytes:
        """Read live memory at ``address``: at most ``size`` bytes, as many as can be read."""
        if self._memory is None or self._left_alone or address < 0 or size < 0 or address + size > 1 << 63:
            return b""
        try:
            return os.pread(self._memory, size, address)
        except OSError:
            return b""

    def open_root(self, path: str, *, follow_links: bool = True) -> Optional[int]:
        """Open the regular file ``path`` as the process sees it. Returns a descriptor, None if there is no such file.

        ``follow_links`` is for the last component. Links are followed within the process's root. Of a process in a
        chroot the kernel writes paths into maps as we see them: they are taken without its root's own path.
        """
        try:
            root = os.open("root", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=self._directory)
        except OSError:
            return None
        try:
            found = open_below(root, path, follow_links=follow_links)
            if found is None and (inner := self._within_chroot(path)):
                found = open_below(root, inner, follow_links=follow_links)
            return found
        finally:
            os.close(root)

    def has(self, path: str) -> bool:
        """Whether there is anything at ``path`` as the process sees it. Nothing is opened."""
        try:
            root = os.open("root", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=self._directory)
        except OSError:
            return False
        try:
            return exists_below(root, path) or exists_below(root, self._within_chroot(path))
        finally:
            os.close(root)

    def real_path(self, path: str) -> str:
        """Where ``path`` leads to as the process sees it, all links followed; empty if to nothing.

        A path that does not begin at the root begins at the current directory of the process. Nothing is opened.
        """
        try:
            root = os.open("root", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=self._directory)
        except OSError:
            return ""
        try:
            if not path.startswith("/"):
                here = os.readlink("cwd", dir_fd=self._directory)
                path = f"{self._within_chroot(here) or here}/{path}"
            found = real_below(root, path)
            return self._within_chroot(found) or found
        except OSError:
            return ""
        finally:
            os.close(root)

    def _within_chroot(self, path: str) -> str:
        """What remains of ``path`` below the process's root; empty if it does not begin with that."""
        try:
            root = os.readlink("root", dir_fd=self._directory)
        except OSError:
            return ""
        return path[len(root) :] if len(root) > 1 and path.startswith(root + "/") else ""

    def open_mapped(self, mapping: Mapping) -> Optional[int]:
        """Open the file that is mapped. Returns a descriptor, or None if it cannot be opened.

        The path is used only if it still names the same file. ``/proc/PID/map_files`` serves the other cases: the file
        was deleted or replaced, or stat gives other numbers than maps (overlay, btrfs).
        """
        if not mapping.is_file:
            return None
        descriptor = None
        if not mapping.deleted:
            descriptor = self.open_root(mapping.path)
            if descriptor is None:  # it has exited, but on the host this path may still name the same file
                descriptor = open_own(mapping.path)
        if descriptor is not None:
            found = os.fstat(descriptor)
            if (found.st_dev, found.st_ino) == (mapping.dev, mapping.inode):
                return descriptor
            os.close(descriptor)
        if not self.same_program():  # then another program's file may be mapped at the same address
            return None
        return open_linked(self._directory, f"map_files/{mapping.start:x}-{mapping.end:x}")

    def open_vdso(self, mapping: Mapping) -> Optional[int]:
        """Copy the vDSO, an ELF image without a file, out of the process's memory: a descriptor."""
        size = min(mapping.end - mapping.start, _MAX_VDSO_BYTES)
        contents = self.read_up_to(mapping.start, size)
        if len(contents) != size:
            return None
        try:
            descriptor = os.memfd_create("vdso", os.MFD_CLOEXEC)
        except OSError:
            return None
        os.write(descriptor, contents)
        return descriptor

    def open_public(self, path: str) -> Optional[int]:
        """Open the regular file ``path`` of the host, if everybody may read it: a descriptor, None if there is none."""
        return open_own(path, public=True)

    def download(self, build_id: bytes, waits: Callable[[], None] = lambda: None) -> Optional[int]:
        """Ask debuginfod's servers for a debug file: a descriptor, None if they do not have it.

        ``waits`` is called again and again meanwhile, and may raise.
        """
        from tracer.host import debuginfod

        return debuginfod.find(build_id, waits)

    def given(self, _descriptor: int) -> Given:
        """What is known of a file that one of the methods above has just opened."""
        from tracer.stacks.elf.image import Given

        return Given()

    def executable_path(self) -> str:
        """The path of the program file, for people; empty if it is not known."""
        try:
            return os.readlink("exe", dir_fd=self._directory)
        except OSError:
            return ""

    def program_at(self, address: int) -> Optional[ProgramFile]:
        """The program file, if that is what lies at ``address``; None if it is not, or that is not known."""
        mapping = self.mapping(address)
        try:
            program = os.stat("exe", dir_fd=self._directory)
        except OSError:
            return None
        if mapping is None or mapping.inode != program.st_ino or not self.same_program():
            return None
        return ProgramFile(mapping.inode, program.st_size, mapping.dev, self.owner)

    def open_executable(self) -> Optional[int]:
        """Open the program file (``/proc/PID/exe``). Returns a descriptor, or None if it cannot be opened."""
        if not self.same_program():
            return None
        return open_linked(self._directory, "exe")

    def read_proc(self, name: str, limit: int = 1 << 20) -> bytes:
        """Read at most ``limit`` bytes of ``/proc/PID/name``; empty if it cannot be read."""
        if self._directory < 0:
            return b""
        try:
            descriptor = os.open(name, os.O_RDONLY | os.O_CLOEXEC, dir_fd=self._directory)
        except OSError:
            return b""
        with os.fdopen(descriptor, "rb") as file:
            try:
                return file.read(limit)
            except OSError:
                return b""

    def status_field(self, name: str) -> tuple[str, ...]:
        r"""Give the words of one line of ``/proc/PID/status`` (``NSpid``, ``Uid``); empty if there is no such line.

        The first line has the name that the process gave itself. The kernel escapes a newline in it and nothing else
        that may end a line (proc_task_name in fs/proc/array.c): ``\r`` or ``\x0b`` in it must not make lines of it.
        """
        for line in self.read_proc("status").decode("utf-8", "replace").split("\n"):
            key, _, value = line.partition(":")
            if key == name:
                return tuple(value.split())
        return ()

    def _alive(self) -> bool:
        try:
            return self._directory >= 0 and _start_time(self._directory) == self.identity.start
        except OSError:
            return False


def _start_time(directory: int) -> int:
    descriptor = os.open("stat", os.O_RDONLY | os.O_CLOEXEC, dir_fd=directory)
    with os.fdopen(descriptor, "rb") as file:
        text = file.read(4096)
    # comm (field 2) may contain spaces and parentheses, so count from the last parenthesis.
    return int(text.rpartition(b")")[2].split()[19])


def _with_memory(directory: int) -> int:
    """Give ``directory``, or that of another thread: /proc/PID shows no memory after the first thread has exited."""
    descriptor = os.open("stat", os.O_RDONLY | os.O_CLOEXEC, dir_fd=directory)
    with os.fdopen(descriptor, "rb") as file:
        state = file.read(4096).rpartition(b")")[2].split()[0]
    if state != b"Z":
        return directory
    tasks = os.open("task", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=directory)
    try:
        for name in os.listdir(tasks):
            with contextlib.suppress(OSError):
                exe = os.readlink(f"{name}/exe", dir_fd=tasks)  # ENOENT if the thread has no memory any more
                thread = os.open(name, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=tasks)
                if exe:
                    os.close(directory)
                    return thread
    finally:
        os.close(tasks)
    return directory

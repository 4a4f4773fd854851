"""Creates the maps, loads the programs and attaches them. No other module attaches anything."""

from __future__ import annotations

import contextlib
import errno
import functools
import os
import resource
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Optional

from tracer.errors import BPF_NEEDS, MORE_FILES, WHOLE_LOG, HostUnsupported
from tracer.kernel import bpf, verifier
from tracer.kernel.kprobes import Kprobe
from tracer.kernel.loading import Loading
from tracer.kernel.maps import Map
from tracer.kernel.objectcode import MapSpec, ObjectCode
from tracer.kernel.plan import Attachment, Plan
from tracer.kernel.tailcalls import RUNNABLE, Kind, TailCalls, kind_of
from tracer.kernel.verifier import Load, Log, Verified
from tracer.trail import Took, Trail

_log = Trail(__name__)


def _raise_memlock() -> None:
    """Kernels before 5.11 charge maps to RLIMIT_MEMLOCK."""
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_MEMLOCK, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))


def load(name: str, attempt: Load) -> int:
    """Load a program with ``attempt`` and return its descriptor. Raises HostUnsupported with the verifier's reason."""
    try:
        return attempt(None, 0)
    except OSError:
        reason = verifier.verify(attempt, verifier.REFUSALS).reason
        raise HostUnsupported(f"the kernel refused the program {name}: {reason}. {WHOLE_LOG}") from None


def load_as(kind: Kind, name: str, code: bytes, log: Optional[Log], level: int) -> int:
    """Load linked instructions as a program of this kind and return its descriptor. Raises OSError."""
    return bpf.load_program(code, kind.type, name, kind.btf_id, exits=kind.exits, log=log, log_level=level)


def create(spec: MapSpec, entries: int) -> int:
    """Create a map with ``entries`` entries (a ring: bytes) and return its descriptor. Raises HostUnsupported."""
    try:
        return bpf.create_map(spec.kind, spec.key_size, spec.value_size, entries, spec.flags, spec.name)
    except OSError as error:
        if error.errno in (errno.ENOMEM, errno.E2BIG):
            raise HostUnsupported("no memory for the BPF maps: give a smaller --memory") from None
        if error.errno == errno.EMFILE:
            raise HostUnsupported(MORE_FILES) from None
        raise HostUnsupported(f"the kernel refuses BPF maps ({error.strerror}). {BPF_NEEDS}") from None


class Program:
    """The kernel side. close() detaches everything."""

    def __init__(self, code: ObjectCode, plan: Plan, entries: Mapping[str, int], parameters: Sequence[int]) -> None:
        """Create the maps and begin to load the programs of the plan. attach() waits until they are loaded.

        ``entries`` has the number of entries (a ring: bytes) of each map whose size is not in bpf/maps.h.
        ``parameters`` are the values that are filled in at load. Raises HostUnsupported.
        """
        _raise_memlock()
        self._code, self._parameters = code, tuple(parameters)
        self._maps: list[int] = []
        self._links: list[int] = []
        self._kprobes: list[Kprobe] = []
        self._programs: list[int] = []
        self._loading = Loading({})
        self._calls = TailCalls(code, self._parameters, lambda spec: create(spec, spec.entries))
        took = Took()
        try:
            for spec in code.maps:
                self._maps.append(create(spec, entries.get(spec.name, spec.entries)))
            _log.debug("%d maps made in %s", len(self._maps), took)
            self._loading = Loading({a: self._load_of(a, plan.features.btf_ids) for a in plan.attachments()})
        except BaseException:
            self.close()
            raise

    def _load_of(self, attachment: Attachment, btf_ids: Mapping[str, int]) -> Callable[[], int]:
        loader = self._loader(attachment, btf_ids)
        return lambda: self._load(attachment.program, loader)

    def _loader(self, attachment: Attachment, btf_ids: Mapping[str, int]) -> Load:
        return self._loader_as(attachment.program, kind_of(attachment, btf_ids))

    def _loader_as(self, name: str, kind: Kind) -> Load:
        maps = self._calls.linked(name, kind, self._maps)

        def attempt(log: Optional[Log], level: int) -> int:
            code = self._code.linked(name, maps, self._parameters)
            return load_as(kind, name, code, log, level)

        return attempt

    def _load(self, name: str, attempt: Load) -> int:
        took = Took()
        program = load(name, attempt)
        self._programs.append(program)
        _log.debug("program %s loaded: %d instructions in %s", name, len(self._code.programs[name]) // 8, took)
        return program

    def verified(self, plan: Plan, runnable: Sequence[str] = ()) -> Iterator[tuple[str, Verified]]:
        """Yield the verifier's log of each program that ``plan`` chose, and of the programs ``runnable``."""
        chosen = {one.program: self._loader(one, plan.features.btf_ids) for one in plan.attachments()}
        chosen.update((name, self._loader_as(name, RUNNABLE)) for name in runnable)
        for name, attempt in chosen.items():
            yield name, verifier.verify(attempt, verifier.EVERYTHING)

    def verified_language(self, code: ObjectCode) -> Iterator[tuple[str, Verified]]:
        """Yield the verifier's log of a language's program, for each kind of program that would call it."""
        name, instructions = self._calls.language(code, self._maps)
        for number, kind in enumerate(self._calls.kinds):
            attempt = functools.partial(load_as, kind, name, instructions)
            yield f"{name}-{number}", verifier.verify(attempt, verifier.EVERYTHING)

    def attach(self, plan: Plan) -> None:
        """Attach everything that the plan chose. If one cannot be attached, none is: HostUnsupported."""
        try:
            self._loading.finish()
            for attachment in plan.attachments():
                self._attach(attachment)
        except BaseException:
            self.close()
            raise

    def _attach(self, attachment: Attachment) -> None:
        kind, program = attachment.kind, self._loading.descriptor(attachment)
        took = Took()
        try:
            if kind == "raw_tp":
                self._links.append(bpf.open_raw_tracepoint(program, attachment.target))
            elif kind in ("fentry", "fexit"):
                self._links.append(bpf.open_trampoline(program))
            else:
                self._kprobes.append(Kprobe(program, attachment.target, returns=kind == "kretprobe"))
        except OSError as error:
            raise HostUnsupported(f"cannot attach to {attachment.label}: {os.strerror(error.errno or 0)}") from None
        _log.debug("attached %s in %s", attachment.label, took)

    def load_runnable(self, name: str) -> int:
        """Load a program that is only run on request (BPF_PROG_TEST_RUN). Return its descriptor."""
        return self._load(name, self._loader_as(name, RUNNABLE))

    def load_language(self, number: int, code: ObjectCode) -> None:
        """From now on have the program of ``code`` called for touches of processes with the language ``number``.

        Raises HostUnsupported with the verifier's reason.
        """

        def load_one(name: str, instructions: bytes, kind: Kind) -> int:
            took = Took()
            program = load(name, lambda log, level: load_as(kind, name, instructions, log, level))
            _log.debug("program %s loaded: %d instructions in %s", name, len(instructions) // 8, took)
            return program

        self._calls.load(number, code, self._maps, load_one)

    def missed_runs(self) -> int:
        """How often the kernel skipped a program because that program was already running on the CPU.

        The kernel counts this since 5.12 (9ed9e9ba2337). On older kernels the result is 0.
        """
        total = 0
        for descriptor in self._programs:
            with open(f"/proc/self/fdinfo/{descriptor}", encoding="ascii") as file:
                total += sum(int(line.split()[1]) for line in file if line.startswith("recursion_misses:"))
        return total

    def map(self, name: str, key_size: int, value_size: int) -> Map:
        """A map by its name in bpf/maps.h. Raises OSError if there is none."""
        for spec, descriptor in zip(self._code.maps, self._maps):
            if spec.name == name:
                return Map(descriptor, key_size, value_size)
        raise OSError(errno.ENOENT, f"no map {name}")

    def detach(self) -> None:
        """Detach all programs. The maps stay readable."""
        while self._kprobes:
            self._kprobes.pop().close()
        while self._links:
            os.close(self._links.pop())

    def close(self) -> None:
        """Detach and free everything. It may be called again."""
        self.detach()
        self._loading.abandon()  # a program that is still being loaded has a descriptor to close
        self._calls.close()
        for descriptors in (self._programs, self._maps):
            while descriptors:
                os.close(descriptors.pop())

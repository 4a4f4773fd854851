"""Makes maps, loads and attaches: the only place where anything is attached."""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import resource
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Optional

from tracer.errors import WHOLE_LOG, HostUnsupported
from tracer.kernel import bpf, verifier
from tracer.kernel.kprobes import Kprobe
from tracer.kernel.loading import Loading
from tracer.kernel.maps import Map
from tracer.kernel.objectcode import MapSpec, ObjectCode
from tracer.kernel.plan import Attachment, Plan
from tracer.kernel.verifier import Load, Log, Verified
from tracer.trail import Took

_log = logging.getLogger(__name__)

_KINDS = {
    "raw_tp": bpf.PROG_RAW_TRACEPOINT,
    "fentry": bpf.PROG_TRACING,
    "fexit": bpf.PROG_TRACING,
    "kprobe": bpf.PROG_KPROBE,
    "kretprobe": bpf.PROG_KPROBE,
}


def _raise_memlock() -> None:
    """Kernels before 5.11 charge maps to RLIMIT_MEMLOCK."""
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_MEMLOCK, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))


def load(name: str, attempt: Load) -> int:
    """Load the program ``name`` by ``attempt``; the descriptor. Raises HostUnsupported with the verifier's word."""
    try:
        return attempt(None, 0)
    except OSError:
        reason = verifier.verify(attempt, verifier.REFUSALS).reason
        raise HostUnsupported(f"the kernel refused the program {name}: {reason}. {WHOLE_LOG}") from None


def create(spec: MapSpec, entries: int) -> int:
    """Make a map with that many entries (bytes for a ring); the descriptor. Raises HostUnsupported."""
    try:
        return bpf.create_map(spec.kind, spec.key_size, spec.value_size, entries, spec.flags, spec.name)
    except OSError as error:
        if error.errno in (errno.ENOMEM, errno.E2BIG):
            raise HostUnsupported("no memory for the BPF maps: give a smaller --memory") from None
        raise HostUnsupported(
            f"the kernel refuses BPF maps ({error.strerror}): root (or CAP_BPF with CAP_PERFMON), an unlocked kernel "
            "and a sufficient memlock limit (ulimit -l unlimited) are needed"
        ) from None


class Program:
    """The kernel side. Closing it detaches everything."""

    def __init__(self, code: ObjectCode, plan: Plan, entries: Mapping[str, int], parameters: Sequence[int]) -> None:
        """Make the maps, and begin to load what the plan chose; attach() waits for that.

        ``entries`` has how many entries (bytes for a ring) those maps get that have no size of their own,
        ``parameters`` are the numbers that the programs take at load. Raises HostUnsupported.
        """
        _raise_memlock()
        self._code, self._parameters = code, tuple(parameters)
        self._maps: list[int] = []
        self._links: list[int] = []
        self._kprobes: list[Kprobe] = []
        self._programs: list[int] = []
        self._loading = Loading({})
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
        kind = _KINDS[attachment.kind]
        btf_id = btf_ids[attachment.target] if kind == bpf.PROG_TRACING else 0
        return self._loader_as(attachment.program, kind, btf_id, exits=attachment.kind == "fexit")

    def _loader_as(self, name: str, kind: int, btf_id: int = 0, *, exits: bool = False) -> Load:
        def attempt(log: Optional[Log], level: int) -> int:
            code = self._code.linked(name, self._maps, self._parameters)
            return bpf.load_program(code, kind, name, btf_id, exits=exits, log=log, log_level=level)

        return attempt

    def _load(self, name: str, attempt: Load) -> int:
        took = Took()
        program = load(name, attempt)
        self._programs.append(program)
        _log.debug("program %s loaded: %d instructions in %s", name, len(self._code.programs[name]) // 8, took)
        return program

    def verified(self, plan: Plan, runnable: Sequence[str] = ()) -> Iterator[tuple[str, Verified]]:
        """What the verifier says of each program that ``plan`` chose, and of those that are only run on request."""
        chosen = {one.program: self._loader(one, plan.features.btf_ids) for one in plan.attachments()}
        chosen.update((name, self._loader_as(name, bpf.PROG_RAW_TRACEPOINT)) for name in runnable)
        for name, attempt in chosen.items():
            yield name, verifier.verify(attempt, verifier.EVERYTHING)

    def attach(self, plan: Plan) -> None:
        """Attach all that the plan chose; all or nothing. Raises HostUnsupported."""
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
            elif _KINDS[kind] == bpf.PROG_TRACING:
                self._links.append(bpf.open_trampoline(program))
            else:
                self._kprobes.append(Kprobe(program, attachment.target, returns=kind == "kretprobe"))
        except OSError as error:
            raise HostUnsupported(f"cannot attach to {attachment.label}: {os.strerror(error.errno or 0)}") from None
        _log.debug("attached %s in %s", attachment.label, took)

    def load_runnable(self, name: str) -> int:
        """Load a program that is only run on request (BPF_PROG_TEST_RUN); its descriptor."""
        return self._load(name, self._loader_as(name, bpf.PROG_RAW_TRACEPOINT))

    def missed_runs(self) -> int:
        """How often the kernel skipped one of the programs because it was running on that CPU already.

        Counted by the kernel since 5.12 (9ed9e9ba2337); older ones do not say.
        """
        total = 0
        for descriptor in self._programs:
            with open(f"/proc/self/fdinfo/{descriptor}", encoding="ascii") as file:
                total += sum(int(line.split()[1]) for line in file if line.startswith("recursion_misses:"))
        return total

    def map(self, name: str, key_size: int, value_size: int) -> Map:
        """A map by its name in bpf/maps.h. OSError if there is none."""
        for spec, descriptor in zip(self._code.maps, self._maps):
            if spec.name == name:
                return Map(descriptor, key_size, value_size)
        raise OSError(errno.ENOENT, f"no map {name}")

    def detach(self) -> None:
        """Run no more; the maps stay readable."""
        while self._kprobes:
            self._kprobes.pop().close()
        while self._links:
            os.close(self._links.pop())

    def close(self) -> None:
        """Detach and free everything; harmless when repeated."""
        self.detach()
        self._loading.abandon()  # what is still on its way has a descriptor to close
        for descriptors in (self._programs, self._maps):
            while descriptors:
                os.close(descriptors.pop())

"""What a start costs: a second run uses the compiled programs of the first one; the verifier has little to do."""

from __future__ import annotations

import os
import pty
import re
import select
import signal
import subprocess
import time
from pathlib import Path
from unittest import mock

from tests.live.closetrace_command import START_LIMIT_S, command, let_linger, tracing, with_probes
from tests.live.workload import start
from tracer.kernel import verifier
from tracer.kernel.compiler import compile_text
from tracer.kernel.headers import header_tree
from tracer.kernel.plan import make_plan
from tracer.kernel.program import Program
from tracer.kernel.source import Sizes, Wanted, parameters, program_text
from tracer.model.scope import Scope
from tracer.session.opening import look


def test_second_start_needs_no_compiler() -> None:
    """No LLVM is in the second run's memory, and it follows its own process although the first one's leaks as well."""
    with start("idle_pool", "2") as first, tracing(first.pid()) as trace:
        trace.attached()
        trace.stop()
        with start("idle_pool", "3") as second, tracing(second.pid()) as again:
            again.attached()
            libraries = Path(f"/proc/{again.process.pid}/maps").read_text()
            first.all_steps()
            second.all_steps()
            let_linger()
            report = again.stop().report()
    assert [site["count"] for site in report["sites"]] == [3]
    # kprobes are attached by bcc's library, which brings LLVM along
    assert ("LLVM" in libraries) is (os.environ.get("CLOSETRACE_TEST_PROBES") == "kprobe")


EMPTY_CACHE = 'mkdir -p /var/cache/closetrace && mount -t tmpfs none /var/cache/closetrace && exec "$@"'


def test_a_first_start_tells_that_it_compiles() -> None:
    """At a terminal, in a mount namespace where nothing was compiled before; the line is gone when the trace begins."""
    reads, slave = pty.openpty()
    words, environment = command()
    words += with_probes(("--pid", str(os.getpid()), "--fresh"))
    first = subprocess.Popen(
        ["unshare", "--mount", "--propagation", "private", "sh", "-c", EMPTY_CACHE, "sh", *words],
        env={**os.environ, **environment},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=slave,
    )
    try:
        said, until = b"", time.monotonic() + START_LIMIT_S
        while b"tracing " not in said:
            assert time.monotonic() < until, said
            if select.select([reads], [], [], 0.1)[0]:
                said += os.read(reads, 4096)
        first.send_signal(signal.SIGINT)
        out, _ = first.communicate(timeout=START_LIMIT_S)
    finally:
        first.kill()
        first.wait()
        os.close(reads)
        os.close(slave)
    shown = said.decode().split("\r\x1b[K")
    assert shown[1].startswith("compiling for this kernel")
    assert shown[-1].startswith("tracing ")
    assert len(shown) > 2
    assert b"compiling" not in out


def test_the_part_for_interpreters_is_little_to_verify() -> None:
    """Instructions that the verifier goes through for all hooks, with that part: 2.5 times those without it at most."""
    scope, sizes = Scope(), Sizes(16 << 20)
    plan = make_plan(look(), os.environ.get("CLOSETRACE_TEST_PROBES") or "auto", scope)
    tree, _ = header_tree()
    taken = []
    for wanted in (Wanted(10**9), Wanted(10**9, interpreters=True)):
        code = compile_text(program_text(plan, scope, sizes, wanted), tree)
        program = Program(code, plan, sizes.entries(), parameters(scope, sizes, wanted))
        try:
            with mock.patch.object(verifier, "EVERYTHING", 4):  # BPF_LOG_STATS
                said = [verified.log for _, verified in program.verified(plan)]
        finally:
            program.close()
        counts = (re.search(r"^processed (\d+) insns", log, re.MULTILINE) for log in said)
        taken.append(sum(int(count[1]) for count in counts if count is not None))
    assert 0 < taken[0] < taken[1] <= 2.5 * taken[0]

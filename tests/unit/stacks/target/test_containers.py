"""Programs in their own namespaces, like those in a container."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.stacks.languages.perfmap.test_perfmap import JIT
from tests.unit.stacks.links.test_native import PLAIN, PLAIN_STACK
from tests.unit.stacks.stackbox import GLIBC_START, capture, compile_c, names, running, wait_blocked
from tracer.stacks.service import StackService

pytestmark = pytest.mark.root


@pytest.fixture
def service() -> Iterator[StackService]:
    service = StackService()
    yield service
    service.close()


def only_child(pid: int) -> int:
    """Give the only child of ``pid``, by its pid on the host."""
    (child,) = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return int(child)


def test_program_on_an_overlay_that_the_host_does_not_see(service: StackService, tmp_path: Path) -> None:
    """Files of another mount namespace are read through the process, even on an overlay file system."""
    for name in ("work", "merged"):
        (tmp_path / name).mkdir()
    # The upper directory of an overlay cannot be on an overlay. A tmpfs always works.
    program = compile_c(tmp_path, "plain", PLAIN)
    script = (
        f"mount -t tmpfs none {tmp_path}/work && mkdir {tmp_path}/work/l {tmp_path}/work/u {tmp_path}/work/w && "
        f"cp {program} {tmp_path}/work/l/hidden && cd {tmp_path} && "
        "mount -t overlay none -o lowerdir=work/l,upperdir=work/u,workdir=work/w merged && exec merged/hidden"
    )
    with running("unshare", "--mount", "sh", "-c", script) as child:
        stack = service.unwind(capture(child.pid))
    assert not (tmp_path / "merged" / "hidden").exists()
    assert names(stack) == PLAIN_STACK + GLIBC_START
    assert stack.frames[2].module == "hidden"
    assert stack.complete


def test_perf_map_under_the_number_that_the_process_knows(service: StackService, tmp_path: Path) -> None:
    """In a PID namespace the map has the inner pid in its name and is in the inner /tmp."""
    program = compile_c(tmp_path, "jit", JIT)
    # The program is in /tmp, and the next step mounts over /tmp.
    script = (
        f"exec 3<{program}; mount -t tmpfs none /tmp && cat <&3 >/tmp/inner && chmod +x /tmp/inner && "
        "exec /tmp/inner bare"
    )
    with running("unshare", "--mount", "--pid", "--fork", "sh", "-c", script) as child:
        pid = only_child(child.pid)
        wait_blocked(pid)
        stack = service.unwind(capture(pid))
        assert not Path("/tmp/inner").exists()
    assert names(stack) == ["read", "block", "poll", "main", *GLIBC_START]
    assert stack.frames[2].file == "/srv/app.js"

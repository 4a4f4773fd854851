"""``make bench-vm``: compares with peers that need kprobes or kernel headers, in a guest with Debian's kernel.

Under emulation only ratios within one run mean something. Figures go to build/bench-vm.json. The kernel is 6.1 with
Debian 12: its bcc (0.26) cannot compile its own tools against the headers of 6.10 and later.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
from tests.vm.cells import Matrix  # noqa: E402
from tests.vm.debian import Suite  # noqa: E402
from tests.vm.guest import Machine, run_in_guest  # noqa: E402
from tests.vm.kernels import kernel_files  # noqa: E402
from tests.vm.matrix import cache_directory  # noqa: E402
from tests.vm.userlands import userland_image  # noqa: E402

_KERNEL, _USERLAND = "6.1", "bookworm"
_PEERS = ("bpftrace", "bpfcc-tools", "libbpf-tools", "nginx-light")
_LIMIT_S, _INSIDE_S = 1500, 1440
# Compiled programs are kept from guest to guest, because starts are not measured there.
_COMMAND = """
[ ! -d /keep/compiled ] || cp -a /keep/compiled /var/cache/closetrace
mount --bind /lib/modules/$(uname -r)/headers /usr/src
export CLOSETRACE_TEST_COMMAND="python3 -m tracer" PYTHONPATH=/closetrace
timeout {seconds} python3 -m tests.benchmarks.bench --guest --output /out/bench-vm.json
status=$?
cp -a /var/cache/closetrace /out/compiled
exit $status
"""


def _machine() -> Machine:
    matrix, cache = Matrix.load(), cache_directory()
    entry = next(kernel for kernel in matrix.data["kernels"] if kernel["kernel"] == _KERNEL)

    def suite(name: str) -> Suite:
        return Suite(name, matrix.mirror, matrix.keyring, cache / "apt" / name)

    kernel = kernel_files(_KERNEL, suite(entry["suite"]), entry["packages"], cache)
    root = userland_image(suite(_USERLAND), [*matrix.root_packages, *_PEERS], cache, kind="bench")
    return Machine(kernel, root, timeout_s=_LIMIT_S)


def main() -> int:
    argparse.ArgumentParser(description=__doc__).parse_args()
    home, build = REPOSITORY / "build/vm/bench", REPOSITORY / "build"
    kept = cache_directory() / "kept" / "bench"
    outcome = run_in_guest(_machine(), REPOSITORY, _COMMAND.format(seconds=_INSIDE_S), home, kept)
    print((home / "console.log").read_text(errors="replace"))
    if (home / "compiled").is_dir():
        shutil.copytree(home / "compiled", kept / "compiled", dirs_exist_ok=True)
    if outcome.status is None or not (home / "bench-vm.json").exists():
        print(f"the guest {'ran out of time' if outcome.timed_out else 'died'}", file=sys.stderr)
        return 1
    shutil.copy(home / "bench-vm.json", build / "bench-vm.json")
    return outcome.status


if __name__ == "__main__":
    sys.exit(main())

"""Compile small C programs and run them: what a C compiler says is the oracle for layouts and macros."""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path


def output(source: str, *flags: str) -> str:
    """What the program ``source`` prints when it is compiled with gcc and run."""
    with tempfile.TemporaryDirectory() as directory:
        text, program = Path(directory, "probe.c"), Path(directory, "probe")
        text.write_text(source)
        built = subprocess.run(
            ["gcc", "-w", "-o", str(program), *flags, str(text)], capture_output=True, text=True, check=False
        )
        assert built.returncode == 0, built.stderr
        return subprocess.run([str(program)], capture_output=True, text=True, check=True).stdout

"""Hosts that refuse a part of the confinement: what is missing is told, and too little means that nothing is parsed."""

from __future__ import annotations

import json
import struct
import subprocess
import sys
from typing import Any

import pytest

from tests.unit.stacks.jail.test_confine import run

pytestmark = pytest.mark.root

CHECK = """
import json, os
from tracer.errors import HostUnsupported
from tracer.stacks.jail.keeper import Keeper
keeper = Keeper()
try:
    print(json.dumps(keeper.check()))
except HostUnsupported as error:
    print(json.dumps(str(error)))
keeper.close()
"""
LOAD, EQUAL, RETURN = 0x20, 0x15, 0x06
PRCTL, SET_SECCOMP = 157, 22
NO_SECCOMP = b"".join(
    struct.pack("<HBBI", *line)
    for line in (
        (LOAD, 0, 0, 0),
        (EQUAL, 0, 3, PRCTL),
        (LOAD, 0, 0, 16),
        (EQUAL, 0, 1, SET_SECCOMP),
        (RETURN, 0, 0, 0x00050001),
        (RETURN, 0, 0, 0x7FFF0000),
    )
)
"""A filter under which no filter can be set, as a container engine may have it."""
WITHOUT_SECCOMP = f"""
import ctypes, struct
libc, program = ctypes.CDLL(None, use_errno=True), ctypes.create_string_buffer({NO_SECCOMP!r})
described = struct.pack("@HP", {len(NO_SECCOMP) // 8}, ctypes.addressof(program))
assert libc.prctl(22, 2, ctypes.c_char_p(described), 0, 0) == 0
"""


def without(*capabilities: str) -> list[str]:
    """A prefix that runs a command as root without these capabilities, as in a container."""
    drop = ",".join(f"-{name}" for name in capabilities)
    return ["setpriv", f"--bounding-set={drop}", f"--inh-caps={drop}"]


def checked(prefix: list[str], before: str = "") -> Any:
    """What is missing, by part; or the text of the refusal."""
    command = [*prefix, sys.executable, "-c", before + CHECK]
    return json.loads(subprocess.run(command, capture_output=True, check=True, timeout=60).stdout)


def test_nothing_is_missing_here() -> None:
    """The host of the tests gives all."""
    assert checked([]) == {}


def test_the_filter_of_this_test() -> None:
    """It refuses to set a filter, and nothing else."""
    assert run(NO_SECCOMP, {0: PRCTL, 16: SET_SECCOMP}) == 0x00050001
    assert run(NO_SECCOMP, {0: PRCTL, 16: 38}) == run(NO_SECCOMP, {0: 0, 16: SET_SECCOMP}) == 0x7FFF0000


def test_without_the_right_to_change_the_user() -> None:
    """Root without capabilities, under seccomp: parsed, and told."""
    missing = checked(without("setuid", "setgid"))
    assert set(missing) == {"uid", "groups"}
    assert "Operation not permitted" in missing["uid"]


def test_without_namespaces_and_chroot() -> None:
    """The other parts are there."""
    assert set(checked(without("sys_admin", "sys_chroot"))) == {"network", "namespaces", "root"}


def test_without_seccomp() -> None:
    """A user of its own, without capabilities: parsed, and told."""
    assert set(checked([], WITHOUT_SECCOMP)) == {"seccomp"}


def test_without_seccomp_and_user() -> None:
    """Too little: nothing is parsed, and the reason names both."""
    refusal = checked(without("setuid", "setgid"), WITHOUT_SECCOMP)
    assert isinstance(refusal, str)
    assert "uid (" in refusal
    assert "seccomp (" in refusal

"""What is made of the kernel's answers to trial kprobes."""

from __future__ import annotations

import errno
import os

import pytest

from tracer.kernel import bpf, features
from tracer.kernel.hooks import Hooks

NAMES = ("tcp_close", "inet6_recvmsg", "gone")


def test_addresses_may_be_cast_where_the_kernel_takes_such_a_program(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the function in BTF nothing is tried; a refusal (no JIT compiler) is no error."""
    tried: list[tuple[int, int]] = []
    hooks = Hooks({}, {"bpf_rdonly_cast": 5, "tcp_sock": 6}, (), ())
    monkeypatch.setattr(bpf, "try_cast", lambda *numbers: tried.append(numbers))
    assert features._may_cast(hooks)
    assert not features._may_cast(Hooks({}, {}, (), ()))
    assert tried == [(5, 6)]

    def refuse(*_: int) -> None:
        raise OSError(errno.EOPNOTSUPP, "not supported")

    monkeypatch.setattr(bpf, "try_cast", refuse)
    assert not features._may_cast(hooks)


def answers(monkeypatch: pytest.MonkeyPatch, device: bool, errors: dict[str, int]) -> None:
    """A kernel that refuses some functions."""

    def try_kprobe(function: str) -> None:
        if function in errors:
            raise OSError(errors[function], os.strerror(errors[function]))

    monkeypatch.setattr(bpf, "try_kprobe", try_kprobe)
    monkeypatch.setattr(features, "_has_kprobe_device", lambda: device)


def test_functions_that_a_kernel_lacks_are_no_refusal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Kprobes work; the plan then says of each family which function it misses."""
    answers(monkeypatch, True, {"inet6_recvmsg": errno.ENOENT, "gone": errno.ENOENT})
    assert features._try_kprobes(NAMES) == (frozenset({"tcp_close"}), None)


def test_one_function_that_may_not_be_probed_does_not_speak_for_all(monkeypatch: pytest.MonkeyPatch) -> None:
    """A notrace function among others."""
    answers(monkeypatch, True, {"gone": errno.EINVAL})
    assert features._try_kprobes(NAMES) == (frozenset({"tcp_close", "inet6_recvmsg"}), None)


@pytest.mark.parametrize(
    ("device", "expected"), [(False, "without kprobes"), (True, f"refuses them ({os.strerror(errno.EPERM)})")]
)
def test_no_kprobes_at_all_has_its_reason(monkeypatch: pytest.MonkeyPatch, device: bool, expected: str) -> None:
    """Built without, or locked down."""
    answers(monkeypatch, device, dict.fromkeys(NAMES, errno.EPERM))
    found, why = features._try_kprobes(NAMES)
    assert not found
    assert why is not None
    assert expected in why

"""The verifier's log: read whole however long it is, from a kernel that is played."""

from __future__ import annotations

import ctypes as ct
import errno
import os
from typing import Optional

import pytest

from tracer.kernel import verifier
from tracer.kernel.verifier import Log


def played(words: bytes, refusal: int = 0) -> verifier.Load:
    """A kernel with these words, which answers ENOSPC while the buffer is too small, as kernels do."""

    def load(log: Optional[Log], level: int) -> int:
        assert log is not None
        ct.memmove(log, words, min(len(words), len(log) - 1))
        if len(words) >= len(log):
            raise OSError(errno.ENOSPC, "No space left on device")
        if refusal:
            raise OSError(refusal, "refused")
        return os.open(os.devnull, os.O_RDONLY)

    return load


@pytest.mark.parametrize("size", [0, 1, (1 << 20) - 1, 1 << 20, 5 << 20])
@pytest.mark.parametrize("refusal", [0, errno.EACCES])
def test_a_log_of_any_size_is_whole(size: int, refusal: int) -> None:
    """The buffer grows until the kernel stops asking for more."""
    words = b"x" * size
    found = verifier.verify(played(words, refusal), verifier.EVERYTHING)
    assert (found.log, found.refused, found.whole) == (words.decode(), refusal or None, True)


def test_a_log_beyond_the_largest_buffer_is_called_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    """What fits is kept."""
    monkeypatch.setattr(verifier, "_SIZES", (16, 32))
    found = verifier.verify(played(b"y" * 100), verifier.EVERYTHING)
    assert (found.log, found.whole) == ("y" * 31, False)


def test_a_refusal_without_words_has_the_errno() -> None:
    """EPERM comes before the verifier begins."""
    assert verifier.Verified("", errno.EPERM, True).reason == "Operation not permitted"

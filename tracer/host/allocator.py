"""The C library's allocator in a process that runs for months: what is not needed goes back to the kernel."""

from __future__ import annotations

import ctypes

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8  # malloc.h
_LARGE = 128 << 10
"""Bytes. The C library begins with that."""


def spare_memory() -> None:
    """Have large pieces given back at once. To be called before the first thread starts.

    glibc takes a larger limit as soon as a large piece was freed once, up to 32 MB (mallopt(3), M_MMAP_THRESHOLD).
    After that large pieces come from the heap, which keeps the room of each as long as anything lies behind it. And
    each thread gets a heap of its own, though Python's threads work one at a time. A C library that has no mallopt(3),
    as musl has none, stays as it is.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        for what, value in ((_M_MMAP_THRESHOLD, _LARGE), (_M_TRIM_THRESHOLD, _LARGE), (_M_ARENA_MAX, 1)):
            mallopt(what, value)


def give_memory_back() -> None:
    """Pages that reports and looks filled for a time. Where the C library cannot (musl), they stay."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)

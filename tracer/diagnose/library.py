"""What is known of one client library: how its frames are recognised, and what keeps it from leaving sockets behind."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Optional

from tracer.model.frame import Frame
from tracer.stacks.registry import package_of

_MILLISECOND = 1_000_000


@dataclass(frozen=True)
class Setting:
    """A library's time limit for idle connections that acts by itself, without a further call of the program.

    ``text`` is how a program writes it, ``{0}`` standing for a whole number of milliseconds. ``least_ms``: the library
    refuses anything below. ``share``: the largest part of the peer's time that is early enough; less than 0.9 for a
    library that looks only every so often.
    """

    text: str
    least_ms: int = 1
    share: float = 0.9

    def value_ms(self, quiet_ns: int) -> Optional[int]:
        """A round value below the peer's idle time (ns); None if the library takes none so small."""
        value = _rounded_down(int(quiet_ns * self.share) // _MILLISECOND)
        return value if value >= self.least_ms else None


def _rounded_down(ms: int) -> int:
    steps = ((600_000, 60_000), (100_000, 10_000), (20_000, 5_000), (1_000, 100), (0, 10))
    step = next(step for least, step in steps if ms >= least)
    return ms // step * step


@dataclass(frozen=True)
class Library:
    """How a library's frames are known, and how a program keeps it from leaving sockets behind.

    ``functions`` and ``modules`` are prefixes (a module is a file's base name), ``names`` whole names of functions,
    ``files`` parts of a source path of other people's code: a program may have an ``http/client.py`` of its own.
    ``package``: the name by which a program imports it, where a process can be asked for that.
    ``beneath``: others are built on it, so it is named only where none of them is on the stack.
    ``serves``: connections that the program accepted may be its own, too.
    ``pools``: it takes an idle connection from its own pool before it opens another to the same peer.
    ``prefills``: its pool opens connections before anybody asks for one.
    ``notices``: it closes an idle connection when the peer hangs up; the text says which connections stay all the same.
    ``setting``, ``idle``: what ends idle connections: a limit that acts by itself, or what the program must do.
    ``release``: how a program gives one connection back for good.
    """

    name: str
    functions: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    modules: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    package: Optional[str] = None
    beneath: bool = False
    serves: bool = False
    pools: bool = False
    prefills: bool = False
    notices: str = ""
    setting: Optional[Setting] = None
    idle: str = ""
    release: str = ""

    @property
    def idle_says_all(self) -> bool:
        """Whether ``idle`` says how a connection is given back, too: a library without a pool has one way only."""
        return bool(self.release) and self.release in self.idle


def _base(path: Optional[str]) -> str:
    return path.rsplit("/", 1)[-1] if path else ""


def owns(library: Library, frame: Frame) -> bool:
    """Whether a frame is the library's code."""
    function, module, file = frame.function or "", _base(frame.module), frame.file or ""
    return (
        function in library.names
        or (bool(library.functions) and function.startswith(library.functions))
        or (bool(library.modules) and module.startswith(library.modules))
        or (any(part in file for part in library.files) and (frame.internal or bool(package_of(frame))))
    )

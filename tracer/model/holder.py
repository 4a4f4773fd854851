"""Who holds a socket: the objects from its descriptor up to a root, as read from a running program's heap."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Optional


class RootKind(str, enum.Enum):
    """Where a chain of holders ends.

    STATIC: a static field of a class. THREAD: a live thread's object. NATIVE: a global reference of native code.
    STACK: a slot on a thread's stack, which may be left over from a call that has returned. PARKED: the same on the
    stack of a virtual thread that waits. MODULE: a module's global. VARIABLE: a local variable of a function at work.
    VALUE: a place on the evaluation stack of one, which may be left over. TASK: a task of an event loop.
    """

    STATIC = "static"
    THREAD = "thread"
    NATIVE = "native"
    STACK = "stack"
    PARKED = "parked"
    MODULE = "module"
    VARIABLE = "variable"
    VALUE = "value"
    TASK = "task"


class Use(str, enum.Enum):
    """What the holder says of the socket: LEASED is in use by the program, IDLE waits in a pool for its next use.

    A server's: SERVING has a request that is not complete, or was upgraded (WebSocket). WAITING has none.
    """

    LEASED = "leased"
    IDLE = "idle"
    SERVING = "serving"
    WAITING = "waiting"


class Missing(str, enum.Enum):
    """Why there is no chain.

    NO_OBJECT: no open socket object of the runtime has this descriptor and these ports. AMBIGUOUS: more than one has.
    DIFFERENT: the one that has this descriptor is not in the descriptor's blocking mode. UNFOUND: no holder was found,
    though there may be one. UNREACHABLE: nothing holds it; the next collection closes it. ABANDONED: nothing holds it,
    and no collection closes it. MOVED: the objects moved or changed whenever they were
    looked at.
    """

    NO_OBJECT = "no-object"
    AMBIGUOUS = "ambiguous"
    DIFFERENT = "different"
    UNFOUND = "unfound"
    UNREACHABLE = "unreachable"
    ABANDONED = "abandoned"
    MOVED = "moved"


LOST = (Missing.UNREACHABLE, Missing.ABANDONED)
"""The program has lost it."""


@dataclass(frozen=True)
class Link:
    """``field`` of an object of class ``holder`` refers to the link before; ``[]`` is an element of an array.

    ``own``: the class is the program's own. ``inner``: it is an inside of the runtime's collections or sockets.
    ``function``: ``holder`` is a function that waits (or its object), and ``field`` a variable of it.
    """

    holder: str
    field: str
    own: bool = False
    inner: bool = False
    function: bool = False


@dataclass(frozen=True)
class Root:
    """``name`` is ``class.field``, a thread's name, ``module: global``, ``variable of function (file:line)``, or empty.

    ``own``: the class or the function is the program's own.
    """

    kind: RootKind
    name: str
    own: bool = False


@dataclass(frozen=True)
class SocketAt:
    """A socket to look for: its descriptor in the process and its ports.

    ``waits``: calls on the descriptor wait in the kernel, it has no O_NONBLOCK. None if that is not known.
    """

    fd: int
    local_port: int
    remote_port: int
    waits: Optional[bool] = None


@dataclass(frozen=True)
class Lineage:
    """The holders of one socket. ``links`` are innermost first: the first is of the object that has the descriptor.

    ``root`` is None if no chain was found, ``missing`` then says why. ``library`` and ``use`` are what the rules know
    of a holder in the chain. ``beside``: the object has a number and no ports, and this code of the process makes
    sockets of its own, which may have got the number.
    """

    fd: int
    links: tuple[Link, ...] = ()
    root: Optional[Root] = None
    library: str = ""
    use: Optional[Use] = None
    missing: Optional[Missing] = None
    beside: str = ""


@dataclass(frozen=True)
class Limits:
    """What a look at a heap may take: CPU seconds, bytes of heap in use, and passes over it."""

    seconds: float = 10.0
    heap_bytes: int = 4 << 30
    scans: int = 3


@dataclass(frozen=True)
class Held:
    """The answer for one process: a lineage for each socket that was asked for, or a ``note`` that says why not.

    ``heap_bytes`` is the used heap, ``scans`` the passes over it. ``collector`` is the name of the collector.
    """

    lineages: tuple[Lineage, ...] = ()
    note: str = ""
    heap_bytes: int = 0
    scans: int = 0
    collector: str = ""


@dataclass(frozen=True)
class HeapLook:
    """The last look at the heap of a process: for how many ``sockets``, of how many a holder was ``found``.

    The rest is as in :class:`Held`.
    """

    pid: int
    comm: str
    sockets: int
    found: int
    note: str = ""
    heap_bytes: int = 0
    scans: int = 0
    collector: str = ""


@dataclass(frozen=True)
class HeldAlike:
    """``count`` sockets of a site that are held in the same way; ``lineage`` is one of them."""

    count: int
    lineage: Lineage

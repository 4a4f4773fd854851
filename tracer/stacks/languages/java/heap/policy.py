"""Which references lead to a holder: what is followed, what only leads back, and what is not looked into at all."""

from __future__ import annotations

from tracer.stacks.languages.java.heap.classes import Classes, Klass
from tracer.stacks.languages.java.heap.fieldnames import FieldNames
from tracer.stacks.languages.java.heap.memory import OBJECT_BYTES

DESCRIPTOR = "java.io.FileDescriptor"
MIRROR = "java.lang.Class"
THREAD = "java.lang.Thread"

_NOT_LOOKED_INTO = (
    # Texts and code: no object that has a socket is behind them.
    "java.lang.String",
    "java.lang.ref.Finalizer",
    "java.lang.ClassLoader",
    "java.lang.Module",
    "java.lang.invoke.MethodHandle",
    "java.lang.invoke.MethodType",
    "java.lang.invoke.MemberName",
    "java.lang.invoke.LambdaForm",
    "java.lang.reflect.AccessibleObject",
    # The JDK's own cleaners hold every descriptor, to close it when its owner has gone.
    "java.lang.ref.Cleaner",
    "java.io.FileCleanable",
    "jdk.internal.ref.CleanerImpl",
    "jdk.internal.ref.PhantomCleanable",
    "sun.misc.Cleaner",
    "jdk.internal.ref.Cleaner",
)

_BACKWARD = {
    # From what is held to its holder, to a thread, or to others that are alike: a chain through them is a detour.
    "sun.nio.ch.SelectionKeyImpl": {"selector"},
    DESCRIPTOR: {"parent", "otherParents"},
    THREAD: {"group", "contextClassLoader", "parkBlocker"},
    "java.lang.ThreadGroup": {"threads", "groups", "parent", "daemonThreadGroup"},
    "java.lang.ref.Reference": {"next", "queue"},
}

_WEAK = ("java.nio.channels.Selector", "io.netty.channel.nio.SelectedSelectionKeySet")
"""Every channel that is registered with a selector is held by it. That tells little, so it is the last resort."""


def followed(klass: Klass, classes: Classes, names: FieldNames) -> list[tuple[int, bool]]:
    """The reference fields of a class that are followed: offset, and whether that is a last resort."""
    if not klass.references or klass.name == MIRROR or classes.is_a(klass, *_NOT_LOOKED_INTO):
        return []
    weak = classes.is_a(klass, *_WEAK)
    left_out = {names.offset(one, field) for one in classes.lineage(klass) for field in _BACKWARD.get(one.name, ())}
    nearest = (offset for offset in klass.references if offset <= OBJECT_BYTES - 8)
    return [(offset, weak) for offset in nearest if offset not in left_out]

"""Which references lead to a holder: what is followed, what only leads back, and what tells nobody anything."""

from __future__ import annotations

from tracer.stacks.languages.java.heap.classes import Classes, Klass
from tracer.stacks.languages.java.heap.content import HIDDEN, WEAK
from tracer.stacks.languages.java.heap.fieldnames import FieldNames
from tracer.stacks.languages.java.heap.memory import OBJECT_BYTES

DESCRIPTOR = "java.io.FileDescriptor"
MIRROR = "java.lang.Class"
THREAD = "java.lang.Thread"

_TEXT = "java.lang.String"

_HIDDEN = (
    # Code: hardly ever is an object that has a socket behind it.
    MIRROR,
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


_RETURNING = ("java.lang.ref.SoftReference", "java.lang.ref.WeakReference")
"""They hold nothing, but the program gets back from them what nothing else holds. No oop map has their referents."""


def followed(klass: Klass, classes: Classes, names: FieldNames) -> list[tuple[int, int]]:
    """The reference fields of a class that are followed: offset and flag."""
    if not klass.references or klass.name == _TEXT:
        return []
    flag = HIDDEN if classes.is_a(klass, *_HIDDEN) else WEAK if classes.is_a(klass, *_WEAK) else 0
    back = {names.offset(one, field) for one in classes.lineage(klass) for field in _BACKWARD.get(one.name, ())}
    nearest = (offset for offset in klass.references if offset <= OBJECT_BYTES - 8)
    found = [(offset, HIDDEN if offset in back else flag) for offset in nearest]
    if classes.is_a(klass, *_RETURNING):
        found.append((names.offset(klass, "referent"), HIDDEN))
    return found

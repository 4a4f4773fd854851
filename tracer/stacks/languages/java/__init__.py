"""Java on HotSpot: no agent, no flag, no attach."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Optional

from tracer.stacks.language import Language, LookAtHeap, Part, Runtime, Target
from tracer.stacks.lasting import replaced

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tracer.model.frame import Frame
    from tracer.model.holder import Held, Limits, SocketAt
    from tracer.stacks.target.maps import Mapping
    from tracer.stacks.target.process import Process

# The JVM and the native code of the JDK's own classes. Other libraries with these names have a version after .so.
_LIBRARIES = re.compile(r"lib(jvm|java|jli|net|nio|extnet|zip|jimage|verify)\.so")
_TITLE = "the JDK"
_LAUNCHER = "java"
"""The JDK's program; its first thread waits for the end of the one that runs main."""
_ENTERS = re.compile(r"ObjectMonitor::(enter|(Re)?EnterI)\b")
"""Of the threads that wait for a monitor one tries again each second at least (objectMonitor.cpp, before JDK 24)."""
_OTHER_JVM = "generated code of a JVM that is not HotSpot: a perf map gives it names (OpenJ9: -Xjit:perfTool)"


def libjvm(process: Process) -> Optional[Mapping]:
    """The first mapping of libjvm.so; None in a process without a JVM."""
    for mapping in process.mappings:
        if mapping.offset == 0 and mapping.path.endswith("/libjvm.so"):
            return mapping
    return None


def _attach(target: Target) -> Optional[Runtime]:
    library = libjvm(target.process)
    if library is None:
        return None
    from tracer.stacks.languages.java import hotspot

    unwinder = hotspot.unwinder(target.process, library)
    return Runtime(unwinder) if unwinder is not None else Runtime(unnamed=_OTHER_JVM)


def _heap(process: Process) -> Optional[LookAtHeap]:
    library = libjvm(process)
    if library is None:
        return None

    def look(wanted: Sequence[SocketAt], limits: Limits) -> Held:
        from tracer.stacks.languages.java.heap import look

        return look.look(process, library, wanted, limits)

    return look


def _is_library(module: str) -> bool:
    return _LIBRARIES.fullmatch(module) is not None


def _package(frame: Frame) -> str:
    if not frame.function:
        return _TITLE if _module(frame) == _LAUNCHER and frame.language == "native" else ""
    from tracer.stacks.languages.java import packages

    return packages.package(frame.function)


def _module(frame: Frame) -> str:
    """The name of the file alone, where a report has its whole path."""
    return (frame.module or "").rpartition("/")[2]


def _part(frame: Frame) -> Part:
    from tracer.stacks.languages.java import packages

    function = frame.function or ""
    if _module(frame) == "libjvm.so":
        return Part.RETRIES if _ENTERS.match(function) else Part.OTHER
    return packages.part(function) if function else Part.OTHER


def _short_name(name: str) -> str:
    return ".".join(name.split("(", 1)[0].split(".")[-2:])


_lasting_name = replaced(
    (r"[/+.]0x[0-9a-f]+", ""),  # hidden classes
    (r"\$\$Lambda(\$\d+|/\d+)*", "$$Lambda"),
    (r"lambda\$(\w+)\$\d+", r"lambda$\1"),
    (r"\$anonfun\$(\w+)\$\d+", r"$anonfun$\1"),  # Scala
    (r"access\$\d+", "access$"),
    (r"(Generated\w*Accessor|\$Proxy)\d+", r"\1"),
    (r"\$\$(\w*(?:ByCGLIB|BySpringCGLIB|ByGuice|SpringCGLIB))\$\$[0-9a-f]+", r"$$\1"),
    (r"(LambdaForm\$\w+?)\d+", r"\1"),
    (r"\$(HibernateProxy|ByteBuddy|auxiliary)\$\w{8}(?=$|[$.])", r"$\1$"),  # classes that Byte Buddy makes
    (r"_\$\$_jvst\w+", "_$$_jvst"),  # and Javassist
    (r"(\$eval|\$[^$.]*__)\d+(?=$|[$.])", r"\1"),  # Clojure: shop.core$load$fn__2041
    (r"(\$lambda)-\d+(?=$|[$.])", r"\1$"),  # Kotlin, which now says load$lambda$0
    (r"\$\d+(?=$|[$.])", "$"),  # anonymous classes: Shop$1.run
)


LANGUAGE = Language(
    "java",
    attach=_attach,
    heap=_heap,
    runtime_module=_is_library,
    title=_TITLE,
    package=_package,
    part=_part,
    short_name=_short_name,
    lasting_name=_lasting_name,
    ends_tell=True,
)

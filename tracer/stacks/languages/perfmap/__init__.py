"""Generated code that a runtime names in ``/tmp/perf-PID.map``, whatever its language."""

from __future__ import annotations

from typing import Optional

from tracer.stacks.language import Language, Runtime, Target

_UNNAMED = "generated code: a perf map (/tmp/perf-PID.map) written by its runtime would name it"


def _attach(target: Target) -> Optional[Runtime]:
    """Any process may begin to write one."""
    from tracer.stacks.languages.perfmap.naming import MapNames

    names = MapNames(target.process, target.read_symbol)
    return Runtime(name=names.name, begin=names.begin, unnamed=_UNNAMED)


LANGUAGE = Language("perfmap", attach=_attach)

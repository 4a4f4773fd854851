"""Generated code with names in ``/tmp/perf-PID.map``, for any language."""

from __future__ import annotations

from typing import Optional

from tracer.stacks.language import Language, Runtime, Target

_UNNAMED = "generated code: its runtime can write a perf map (/tmp/perf-PID.map), which gives it names"


def _attach(target: Target) -> Optional[Runtime]:
    """Attach to every process: any process may start to write a perf map."""
    from tracer.stacks.languages.perfmap.naming import MapNames

    names = MapNames(target.process, target.read_symbol)
    return Runtime(name=names.name, begin=names.begin, unnamed=_UNNAMED)


LANGUAGE = Language("perfmap", attach=_attach)

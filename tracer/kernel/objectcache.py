"""Keeps compiled programs next to the generated headers. A second run with the same text needs no compiler."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Optional

from tracer.digests import sha256
from tracer.kernel import objectcode
from tracer.kernel.compiler import FLAGS
from tracer.kernel.headers import trusted
from tracer.kernel.objectcode import ObjectCode
from tracer.trail import Took, Trail

_log = Trail(__name__)

_KEPT = 32


def compiled(text: str, tree: Optional[Path], compile_text: Callable[[str, Optional[Path]], ObjectCode]) -> ObjectCode:
    """The object code of ``text``: from the cache in ``tree``, else from ``compile_text``. Raises what that raises.

    Without a tree nothing is kept, because the version of installed headers is not known. A cache that cannot be read
    or written, or that is not trusted, is not used.
    """
    if tree is None:
        return _made(text, None, compile_text)
    place = tree / "programs" / sha256(f"{FLAGS}\n{text}".encode()).hexdigest()[:32]
    took = Took()
    kept = _load(place)
    if kept is not None:
        _log.debug("object code from the cache %s in %s", place, took)
        return kept
    made = _made(text, tree, compile_text)
    with contextlib.suppress(OSError):
        _store(place, made.to_text())
    return made


def _made(text: str, tree: Optional[Path], compile_text: Callable[[str, Optional[Path]], ObjectCode]) -> ObjectCode:
    took = Took()
    made = compile_text(text, tree)
    _log.debug("object code compiled: %d programs in %s", len(made.programs), took)
    return made


def _load(place: Path) -> Optional[ObjectCode]:
    if not trusted(place.parent):
        return None
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        return objectcode.from_text(place.read_text(encoding="ascii"))
    return None


def _store(place: Path, text: str) -> None:
    """Write under a temporary name and rename, so that another run sees the whole file or none."""
    import tempfile

    place.parent.mkdir(mode=0o700, exist_ok=True)
    for old in sorted(place.parent.iterdir(), key=lambda path: path.stat().st_mtime)[: -_KEPT + 1]:
        old.unlink()
    descriptor, name = tempfile.mkstemp(dir=place.parent)
    try:
        with open(descriptor, "w", encoding="ascii") as file:
            file.write(text)
        os.rename(name, place)
    except BaseException:
        os.unlink(name)
        raise

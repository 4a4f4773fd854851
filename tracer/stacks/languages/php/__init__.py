"""PHP, with the names in the perf map of its JIT compiler (``opcache.jit_debug=16``, ext/opcache/jit/zend_jit.h)."""

from __future__ import annotations

import posixpath
import re
from typing import TYPE_CHECKING, Optional

from tracer.stacks.language import Language, Symbol
from tracer.stacks.lasting import replaced
from tracer.stacks.silent import Silent, described

if TYPE_CHECKING:
    from tracer.model.frame import Frame

_NAME = "php"
_JIT = re.compile(r"(JIT\$\$|TRACE-\d+\$)|JIT\$(.*)$")
"""The compiler's own parts, or a function. A script's outermost code has the name of its file."""
_PACKAGE = re.compile(r"/vendor/([^/]+/[^/]+)/")
_PHP = Silent(
    "PHP",
    files=re.compile(r"php[\d.]*|php-(?:fpm|cgi)[\d.]*|phpdbg[\d.]*|libphp\S*\.so[\d.]*|opcache\.so"),
    unnamed="PHP functions run here that have no names: opcache's JIT (opcache.jit=function) with opcache.jit_debug=16"
    " names the innermost one",
    extensions=re.compile(r"/php(?:\d[\d.]*)?/(?:\d{8}|modules|extensions/[^/]+)/[^/]+\.so$"),
)


def _read_symbol(symbol: str) -> Optional[Symbol]:
    match = _JIT.match(symbol)
    if match is None:
        return None
    own, function = match.groups()
    if own:
        return Symbol(symbol, _NAME, internal=True)
    if function.startswith("/"):
        return Symbol(posixpath.basename(function), _NAME, file=function)
    return Symbol(function, _NAME)


def _package(frame: Frame) -> str:
    match = _PACKAGE.search(frame.file or "") if frame.language == _NAME else None
    return match.group(1) if match is not None else ""


_lasting_name = replaced((r"\{closure(:[^}]*)?\}", "{closure}"), (r"class@anonymous.*?(?=::|$)", "class@anonymous"))


LANGUAGE = described(
    Language(_NAME, read_symbol=_read_symbol, title=_PHP.title, package=_package, lasting_name=_lasting_name), _PHP
)

"""Perl, Lua and PyPy: interpreters that have no option which gives their functions names."""

from __future__ import annotations

import re

from tracer.stacks.language import Language
from tracer.stacks.silent import Silent, described

_PERL = Silent(
    "Perl",
    files=re.compile(r"perl(?:5[\d.]*)?|libperl\.so[\d.]*"),
    unnamed="Perl functions run here that have no names: perl has no option that gives them any",
    # The compiled part of a module A::B is auto/A/B/B.so (perldoc XSLoader).
    extensions=re.compile(r"/auto/(?:\w+/)*(\w+)/\1\.so$"),
)
_LUAJIT = Silent(
    "LuaJIT",
    files=re.compile(r"luajit\S*|libluajit\S*\.so[\d.]*"),
    unnamed="Lua functions run here that have no names: LuaJIT has no option that gives them any",
)
_LUA = Silent(
    "Lua",
    files=re.compile(r"lua[\d.]*|liblua\S*\.so[\d.]*"),
    unnamed="Lua functions run here that have no names: lua has no option that gives them any",
    extensions=re.compile(r"/lua/5\.\d/\S+\.so$"),
)
_PYPY = Silent(
    "PyPy",
    files=re.compile(r"pypy3?[\d.]*|libpypy\S*\.so[\d.]*"),
    unnamed="Python functions run here that have no names: PyPy has no option that gives them any (CPython needs none)",
    extensions=re.compile(r"\.pypy3?\d*-pp\d+-\S+\.so$"),
)

LANGUAGE = described(Language("scripts"), _PERL, _LUAJIT, _LUA, _PYPY)

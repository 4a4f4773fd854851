"""Which installed package is the program that a Python process runs, by its command line and its console script.

A console script is what pip and its like write into ``bin``: it imports one function of a package and calls that. A
server (gunicorn, celery) is not the program: that is what its command line tells it to load.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple, Optional

from tracer.stacks.language import OfProgram
from tracer.stacks.target.command import after_options, is_called, read_start, words
from tracer.stacks.target.process import Process

_STUB_BYTES = 8192
_MOST_FOLDERS, _DEEPEST = 8, 4
_IMPORTS = re.compile(r"from ([A-Za-z_][\w.]*) import ([A-Za-z_]\w*)")
_CALLS = re.compile(r"\s*(?:sys\.exit|raise SystemExit)\(([A-Za-z_]\w*)(?:\.\w+)*\(\)\)")
_LOADS = re.compile(r"\bload_entry_point\(\s*['\"]([\w.-]+)(?:==[^'\"]*)?['\"], *['\"]console_scripts['\"]")
"""How setuptools writes it: by the name of the distribution."""
_DEFINES = re.compile(r"\s*(?:async def|def (?!importlib_load_entry_point\b)|class )")
_INTERPRETER = re.compile(r"(?:python|pypy)[\d.]*[a-z]*")
_WITH_VALUE = ("-W", "-X", "--check-hash-based-pycs")
_MODULE_OPTION = re.compile(r"-[A-Za-z]*m")
_MODULE = re.compile(r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*")
_ATTRIBUTE = re.compile(r"[A-Za-z_][\w.]*(?:\(.*\))?")
_NAMING = ("-A", "--app", "-m", "--module", "--wsgi", "--application")
"""Options of servers and other runners behind which the module stands that they load."""
_FLAGS = ("--reload", "--preload", "--factory", "--daemon", "-D")
"""Options of servers that have no value."""
_RUNNERS = frozenset(
    "gunicorn uvicorn uvicorn_worker hypercorn waitress daphne granian cheroot werkzeug uwsgi mod_wsgi twisted tornado"
    " aiohttp flask django fastapi fastapi_cli sanic litestar starlette bottle streamlit celery celeryd billiard kombu"
    " rq dramatiq huey arq taskiq faust nameko kopf gevent eventlet uvloop locust pytest py nose scrapy jupyter"
    " jupyter_core jupyter_client notebook ipykernel ipykernel_launcher IPython debugpy coverage ddtrace newrelic"
    " opentelemetry watchfiles watchdog hupper honcho supervisor pex shiv pip pipx runpy pdb cProfile profile trace"
    " timeit unittest".split()
)
"""Packages that run other people's programs: servers, workers, development tools."""
_PACKAGED = re.compile(r"(.*?/(?:site|dist)-packages)/(.+)", re.S)


def program(process: Process) -> Optional[OfProgram]:
    """Tells the source files of the installed package that is the program of ``process``; None if none is known."""
    started = _started(process, words(process))
    modules = tuple(dict.fromkeys(module for module in started.modules if _top(module) not in _RUNNERS))
    return _Files(process, modules, started.script) if modules else None


class _Started(NamedTuple):
    """What a command line starts: names of modules, and the console script where there is one."""

    modules: tuple[str, ...] = ()
    script: str = ""


def _started(process: Process, several: Sequence[str]) -> _Started:
    if not several:
        return _Started()
    is_interpreter = _INTERPRETER.fullmatch(posixpath.basename(several[0])) is not None
    rest = several[1:] if is_interpreter else several
    at = after_options(rest, _WITH_VALUE)
    for index, word in enumerate(rest[:at]):
        if _MODULE_OPTION.fullmatch(word):
            module, behind = rest[index + 1 : index + 2], rest[index + 2 :]
            return _Started(_of(module[0], behind) if module else ())
    if at >= len(rest) or "-c" in rest[:at]:
        return _Started()
    script, behind = rest[at], rest[at + 1 :]
    module = _stub_of(read_start(process, process.real_path(script), _STUB_BYTES))
    if _top(module or posixpath.basename(script)) in _RUNNERS:
        return _Started(_told(behind))
    return _Started((module,), script) if module else _Started()


def _of(module: str, behind: Sequence[str]) -> tuple[str, ...]:
    if _top(module) in _RUNNERS:
        return _told(behind)
    return (module,) if _MODULE.fullmatch(module) else ()


def _stub_of(text: str) -> str:
    """The module whose function a console script calls; empty if the script does anything else."""
    imported: dict[str, str] = {}
    found = ""
    for line in map(str.rstrip, text.splitlines()):
        if _DEFINES.match(line):
            return ""
        if imports := _IMPORTS.fullmatch(line):
            imported[imports.group(2)] = imports.group(1)
        elif calls := _CALLS.fullmatch(line):
            found = imported.get(calls.group(1), "")
        elif loads := _LOADS.search(line):
            found = re.sub(r"[-.]+", "_", loads.group(1))
    return found


def _told(several: Sequence[str]) -> tuple[str, ...]:
    """What a server is to load: ``module:app``, ``-A module``, ``package.module``; or ``module`` if that comes first.

    Later such words are names of other things: queues (``rq worker redis``), spiders, tests.
    """
    return tuple(_modules(several))


def _modules(several: Sequence[str]) -> Iterator[str]:
    is_first = True
    for before, word in zip(("", *several), several):
        option, _, value = word.partition("=")
        module, colon, attribute = (value if option in _NAMING else word).partition(":")
        if not _MODULE.fullmatch(module) or (colon and not _ATTRIBUTE.fullmatch(attribute)):
            continue
        is_value = before.startswith("-") and before not in _FLAGS
        if colon or option in _NAMING or before in _NAMING:
            yield module
        elif not is_value:
            if is_first or "." in module:
                yield module
            is_first = False


def _top(module: str) -> str:
    return module.partition(".")[0]


class _Files:
    """Implements OfProgram for these modules."""

    def __init__(self, process: Process, modules: tuple[str, ...], script: str) -> None:
        self._process = process
        self._modules = tuple(tuple(module.split(".")) for module in modules)
        self._script = posixpath.normpath(script) if script else ""
        self._prefixes: dict[tuple[str, tuple[str, ...]], str] = {}

    def __call__(self, file: str) -> bool:
        match = _PACKAGED.match(file)
        if match is None:
            return is_called(file, self._script)
        folder, path = match.groups()
        for module in self._modules:
            if path.startswith(module[0]):
                prefix = self._prefix(folder, module)
                if path.startswith(f"{prefix}/") or path == f"{prefix}.py":
                    return True
        return False

    def _prefix(self, folder: str, module: tuple[str, ...]) -> str:
        """The package's path below ``folder``: the module's first name, or more where several packages share that.

        Such a name has a folder without ``__init__.py`` (PEP 420).
        """
        known = self._prefixes.get((folder, module))
        if known is None:
            depth = 1 if len(self._prefixes) < _MOST_FOLDERS else _DEEPEST
            while depth < min(len(module), _DEEPEST) and self._is_shared(f"{folder}/{'/'.join(module[:depth])}"):
                depth += 1
            known = "/".join(module[:depth])
            if len(self._prefixes) < _MOST_FOLDERS:
                self._prefixes[folder, module] = known
        return known

    def _is_shared(self, package: str) -> bool:
        real_path = self._process.real_path
        return bool(real_path(package)) and not real_path(f"{package}/__init__.py")

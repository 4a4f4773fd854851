"""``closetrace doctor --dump DIR``: writes what closetrace would load into the kernel to files, to find a fault.

The steps are those of a trace (`tracer/session/opening.py`). If a step fails, the files of the steps before it are
still written. The verifier writes its most detailed log. Nothing is attached.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import stat
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Union

from tracer import __version__
from tracer.errors import ClosetraceError, CompileFailed, UsageError
from tracer.kernel.compiler import compile_text
from tracer.kernel.elfobject import elf_object
from tracer.kernel.features import BTF_PATH, Features, discover
from tracer.kernel.headers import header_tree, kept_hooks
from tracer.kernel.objectcache import compiled
from tracer.kernel.objectcode import ObjectCode
from tracer.kernel.plan import Plan, make_plan
from tracer.kernel.program import Program
from tracer.kernel.source import Wanted, language_text, parameters, program_text
from tracer.kernel.verifier import Verified
from tracer.session.request import Request
from tracer.stacks.registry import all_languages

VARIANTS = {
    "trace": Wanted(10_000_000_000, interpreters=True),
    "max-overhead": Wanted(10_000_000_000, guarded=True, interpreters=True),
    "run": Wanted(10_000_000_000, interpreters=True),
    "tail": Wanted(1 << 62, events=True),
    "tail-stacks": Wanted(1 << 62, events=True, event_stacks=True),
    "timeline": Wanted(10_000_000_000, all_endings=True, interpreters=True),
}
"""What each command needs, by name. Each command has its own macros, and so its own program."""
FOLLOWS_FORKS = "run"

_LANGUAGES = "languages/"
_PARTS = {
    "findings.json": "what doctor found",
    "headers/": "the type declarations made from the kernel's BTF, used in place of kernel headers",
    "plan.json": "what this kernel offers, and the attachments that were chosen from it",
    "program.c": "the C text, with sizes, filters and plan as macros at its beginning",
    "object.json": "the object code: maps, and instructions in hex. Pids and threshold are filled in when it is loaded",
    "object.o": "the object code as ELF, for reading: llvm-objdump -dr object.o",
    _LANGUAGES: "the C text of the programs that tell interpreters' frames, loaded when the first of them is met",
    "verifier/": "the verifier's whole log of each program, also of accepted ones",
}
_CONTENTS = "contents.txt"
_RUNNABLE = ("run_drain",)
_PERMISSIONS = "keep this directory private: the logs contain addresses of the kernel"

Content = Union[str, bytes]


class Folder:
    """A new or empty directory that only its owner can write to, and the names of the files written to it."""

    def __init__(self, path: Path) -> None:
        """Make the directory if it is missing. Raises UsageError if it cannot be used."""
        self.path = path
        self.names: list[str] = []
        for missing in reversed([parent for parent in path.parents if not parent.exists()]):
            _make(missing, 0o755)
        if not os.path.lexists(path):
            _make(path, 0o700)
        self._check()

    def _check(self) -> None:
        """Root writes here. So nobody else may be able to put a link in place of a file."""
        status = os.lstat(self.path)
        if not stat.S_ISDIR(status.st_mode):
            raise UsageError(f"--dump {self.path}: it exists and is not a directory")
        if _open_to_others(status):
            raise UsageError(f"--dump {self.path}: others can write to it; give a directory that does not exist yet")
        if os.listdir(self.path):
            raise UsageError(f"--dump {self.path}: the directory is not empty")

    def write(self, name: str, content: Content) -> None:
        """Write one new file. ``name`` may contain directories. Raises OSError."""
        place = self.path / name
        for parent in reversed(place.relative_to(self.path).parents):
            with contextlib.suppress(FileExistsError):
                os.mkdir(self.path / parent, 0o755)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
        with open(os.open(place, flags, 0o644), "wb") as file:
            file.write(content if isinstance(content, bytes) else content.encode(errors="backslashreplace"))
        self.names.append(name)


def _open_to_others(status: os.stat_result) -> bool:
    """Whether anybody may write to it except root, this user and the user who called sudo."""
    invoker = os.environ.get("SUDO_UID", "")
    owners = {0, os.geteuid(), int(invoker) if invoker.isdecimal() else 0}
    return bool(status.st_mode & 0o022) or status.st_uid not in owners


def _make(path: Path, mode: int) -> None:
    try:
        path.mkdir(mode)
    except FileExistsError:
        pass
    except OSError as error:
        raise UsageError(f"--dump: cannot make the directory {path}: {error.strerror}") from None


def dump(folder: Folder, request: Request, findings: str) -> list[str]:
    """Write all that can be made here, and a list of it. Return lines that say what is missing and why.

    ``findings`` is doctor's JSON. Raises OSError if the directory cannot be written.
    """
    folder.write("findings.json", findings + "\n")
    why = _write_all(folder, _contents(request))
    present = {part for part in _PARTS for name in folder.names if name == part or name.startswith(part)}
    wanted = [part for part in _PARTS if part != _LANGUAGES or request.wanted.interpreters]
    missing = _missing([part for part in wanted if part not in present], why)
    told = [f"{part:15} {meaning}" for part, meaning in _PARTS.items() if part in present]
    extra = sorted(name for name in folder.names if not any(name.startswith(part) for part in _PARTS))
    lines = [f"closetrace {__version__}, {' '.join(os.uname())}", "", *told, *extra, *missing, "", _PERMISSIONS]
    folder.write(_CONTENTS, "\n".join(lines) + "\n")
    return missing


def _missing(parts: list[str], why: str) -> list[str]:
    lines = []
    if "headers/" in parts and not os.path.exists(BTF_PATH):
        parts.remove("headers/")
        lines.append(f"missing: headers/ (there is no {BTF_PATH}: the installed headers are used)")
    return lines + ([f"missing: {', '.join(parts)} ({why})"] if parts else [])


def _write_all(folder: Folder, contents: Iterator[tuple[str, Content]]) -> str:
    """Write files until a step fails. Return why it failed, "" if none did."""
    while True:
        try:
            name, content = next(contents)
        except StopIteration:
            return ""
        except (ClosetraceError, OSError) as error:
            return str(error)
        folder.write(name, content)


def _contents(request: Request) -> Iterator[tuple[str, Content]]:
    """Yield name and content, in the order in which a trace makes them. Raises ClosetraceError, OSError."""
    with contextlib.ExitStack() as cleanup:
        tree = None
        if os.path.exists(BTF_PATH):
            tree, remove = header_tree()
            if remove is not None:
                cleanup.callback(shutil.rmtree, remove, ignore_errors=True)
            yield from _headers(tree)
        features = discover(kept_hooks(tree) if tree is not None else None)
        plan = make_plan(features, request.probes, request.scope)
        yield "plan.json", _plan(features, plan, request)
        text = program_text(plan, request.scope, request.sizes, request.wanted)
        yield "program.c", text
        try:
            code = compiled(text, tree, compile_text)
        except CompileFailed as failed:
            yield "compiler.log", failed.said
            raise
        yield "object.json", code.to_text() + "\n"
        yield "object.o", elf_object(code)
        languages = []
        for language in all_languages() if request.wanted.interpreters else ():
            if language.kernel_program:
                text = language_text(language.kernel_program, plan, request.sizes)
                yield f"{_LANGUAGES}{language.kernel_program}", text
                languages.append(compiled(text, tree, compile_text))
        yield from _logs(code, plan, request, languages)


def _headers(tree: Path) -> Iterator[tuple[str, Content]]:
    for path in sorted((tree / "include").rglob("*.h")):
        yield f"headers/{path.relative_to(tree)}", path.read_bytes()


def _plan(features: Features, plan: Plan, request: Request) -> str:
    offered = {name: sorted(value) if isinstance(value, frozenset) else value for name, value in vars(features).items()}
    return json.dumps(
        {
            "features": offered,
            "attachments": [asdict(one) for one in plan.attachments()],
            "probes": [asdict(probe) for probe in plan.probes()],
            "parameters": list(parameters(request.scope, request.sizes, request.wanted)),
            "entries": request.sizes.entries(),
        },
        indent=2,
    )


def _logs(
    code: ObjectCode, plan: Plan, request: Request, languages: Sequence[ObjectCode]
) -> Iterator[tuple[str, Content]]:
    program = Program(code, plan, request.sizes.entries(), parameters(request.scope, request.sizes, request.wanted))
    try:
        for name, verified in program.verified(plan, _RUNNABLE):
            yield f"verifier/{name}.log", _log(verified)
        for language in languages:
            for name, verified in program.verified_language(language):
                yield f"verifier/{name}.log", _log(verified)
    finally:
        program.close()


def _log(verified: Verified) -> str:
    """The verifier's own text. What closetrace adds comes before it."""
    cut = "" if verified.whole else "closetrace: the log was larger than the largest buffer and is cut\n"
    refused = f"closetrace: refused, {os.strerror(verified.refused)}\n" if verified.refused else ""
    return cut + refused + verified.log

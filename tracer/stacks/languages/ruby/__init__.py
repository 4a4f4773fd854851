"""Ruby (MRI) 3.1 and 3.3: no flag, no gem, no restart."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Optional

from tracer.stacks.language import TLS, Language, Part, Runtime, Target
from tracer.stacks.lasting import replaced
from tracer.stacks.silent import Silent, described

if TYPE_CHECKING:
    from tracer.model.frame import Frame
    from tracer.stacks.language import OfProgram
    from tracer.stacks.target.process import Process

NAME = "ruby"
RUBY = Silent(
    "Ruby",
    files=re.compile(r"ruby[\d.]*|libruby\S*\.so[\d.]*"),
    unnamed="Ruby methods run here that have no names",
    extensions=re.compile(r"/ruby/(?:\S+/)?\d+\.\d+\.\d+/\S+\.so$|/gems/\S+\.so$"),
)
_STANDARD = re.compile(r"<internal:|/lib(?:64|/[\w-]+)?/ruby/\d+\.\d+\.\d+/|/ruby/vendor_ruby/(?:rubygems|bundler)[/.]")
_GEM = re.compile(r"([\w.-]{1,64}?)-(?:\d[\w.]*|[0-9a-f]{12})(?:-[\w-]+)?")
_VENDORED = re.compile(r".*/ruby/vendor_ruby/(?:\d+\.\d+\.\d+/)?([\w-]+)")
_EXTENSIONS = re.compile(r"(?:socket|wait|nonblock|stringio|monitor|zlib|date_core|etc|pathname)\.so")
"""Of the standard library, those that may be on a stack when a socket is used."""
_LOOP = re.compile(
    r"/(?:puma/(?:server|reactor|runner|cluster/worker)|webrick/server|unicorn/http_server|drb/drb)\.rb$"
)
_POOL = re.compile(r"/(?:puma/thread_pool|concurrent/executor/\w+|sidekiq/processor)\.rb$")


def is_standard(file: str) -> bool:
    """Whether a source file is of the standard library, or built in."""
    return _STANDARD.search(file) is not None and not gem_of(file)


def gem_of(file: str) -> str:
    """The gem that a source file belongs to; empty if to none."""
    _, folder, rest = file.rpartition("/gems/")
    match = _GEM.fullmatch(rest.partition("/")[0]) if folder else None
    return match.group(1) if match is not None else ""


def is_runtime(frame: Frame) -> bool:
    """Whether a frame of compiled code is Ruby's, or of an extension of its standard library."""
    return RUBY.has(frame) or (frame.internal and _EXTENSIONS.fullmatch(frame.module or "") is not None)


def _attach(target: Target) -> Optional[Runtime]:
    if not RUBY.runs_in(target):
        return None
    from tracer.stacks.languages.ruby.runtime import runtime

    return runtime(target)


def _kernel_entry(target: Target) -> Optional[bytes]:
    if not RUBY.runs_in(target):
        return None
    from tracer.stacks.languages.ruby.process import kernel_entry

    return kernel_entry(target)


def _program(process: Process) -> Optional[OfProgram]:
    from tracer.stacks.languages.ruby.program import program

    return program(process)


def _package(frame: Frame) -> str:
    if frame.language != NAME:
        return RUBY.title if is_runtime(frame) else ""
    file = frame.file or ""
    gem = gem_of(file)
    if gem:
        return gem
    match = _VENDORED.match(file) if not is_standard(file) else None
    if match is not None:
        return match.group(1)
    if frame.internal:
        return TLS if "/openssl/" in file else RUBY.title
    return ""


def _part(frame: Frame) -> Part:
    if frame.language != NAME:
        return Part.OTHER
    file = frame.file or ""
    if frame.internal and frame.function == "sleep":  # Kernel#sleep; the thread waits in futex
        return Part.SLEEPS
    return Part.LOOP if _LOOP.search(file) else Part.IDLE if _POOL.search(file) else Part.OTHER


_lasting_name = replaced((r"block \(\d+ levels\) in", "block in"), (r"#<(\w+):0x[0-9a-f]+.*?>", r"#<\1>"))


_BASE = Language(
    NAME,
    number=3,
    kernel_program="ruby.bpf.c",
    kernel_entry=_kernel_entry,
    program=_program,
    title=RUBY.title,
    package=_package,
    part=_part,
    lasting_name=_lasting_name,
    names_by_file=True,
)
LANGUAGE = described(_BASE, RUBY, attach=_attach)

"""The id of a leak site: the same on every host, for every process, build and version, if the program's path is.

It is made of names alone. Two sites of one report have the same id if only the verdict, the listening port, or lines
of the same functions differ.
"""

from __future__ import annotations

import re
from itertools import groupby

from tracer.diagnose.held import own_place
from tracer.diagnose.libraries import client_of
from tracer.diagnose.owners import own_at_work, own_part, owner_of
from tracer.diagnose.per_stack import per_frame, per_stack
from tracer.diagnose.telling import most_own_first, opener_stack, sent_stack, telling_stack
from tracer.digests import sha256
from tracer.model.finding import Direction, Finding
from tracer.model.frame import Frame, Stack
from tracer.stacks.registry import language, lasting_name

_DIGITS = 16
_LONGEST = 255
"""Of a file's name (NAME_MAX). A program may tell longer ones, on which the patterns here would take long."""
_COMPILED = "native"
_DELETED = " (deleted)"
_VERSIONED = re.compile(r"[-_.]?v?\d+(\.\d+)+([-_.](SNAPSHOT|RELEASE|FINAL|(rc|alpha|beta|dev|post)[-_.]?\d*))?", re.I)
_AFTER_SO = re.compile(r"(?<=\.so)(\.\d+)+$")
_BUILD = re.compile(r"[-_.](?=[0-9a-f]*\d)[0-9a-f]{8,40}(?=[-_.]|$)")
_ADDRESS = re.compile(r"\b0x[0-9a-f]+", re.I)
_LINE = re.compile(r":\d+(?=\))")
_WHOLE_FOLDERS = re.compile(r"(__init__|__main__|index)\.\w+$")
"""Files that are known by the name of their folder."""


def site_id(program: str, finding: Finding, direction: Direction) -> str:
    """16 hexadecimal digits for the site of a finding. ``program`` is what the site's program is called."""
    parts = [unversioned(program), *_path(finding, direction)]
    return sha256("\0".join(parts).encode(errors="surrogateescape")).hexdigest()[:_DIGITS]


def unversioned(name: str) -> str:
    """A program's or file's base name without version and build: ``libfoo-2.1.so.3`` becomes ``libfoo.so``."""
    plain = name.removesuffix(_DELETED)[:_LONGEST]
    return _BUILD.sub("", _VERSIONED.sub("", _AFTER_SO.sub("", plain))) or plain


def _path(finding: Finding, direction: Direction) -> tuple[str, ...]:
    """What diagnose.paths.code_path tells apart, by names that last."""
    stack, opened = telling_stack(finding)[0], opener_stack(finding)
    for _, one in most_own_first(stack, sent_stack(finding), opened):
        names = _names(one) if one is not None else ()
        if names:
            return ("path", *names)
    lineage = finding.connection.lineage
    place = own_place(lineage)
    if place is not None:
        return ("held", lasting_name(Frame(_LINE.sub("", place), None)))
    library = client_of(opened, stack)
    if library is not None:
        return ("library", direction.value, library.name)
    return ("none", direction.value, *(_owners(stack) if stack is not None else ()))


@per_stack
def _names(stack: Stack) -> tuple[str, ...]:
    """The program's functions at work, innermost first; recursion counts once.

    Functions that a compiler inlined are left out: only debug information tells them, which another host may not have.
    """
    own = own_at_work(stack)
    compiled = [frame for frame in own if not (frame.inlined and frame.language == _COMPILED)]
    return tuple(name for name, _ in groupby(map(_name, compiled or own)))


@per_stack
def _owners(stack: Stack) -> tuple[str, ...]:
    """Whose code is on a stack without functions of the program."""
    owners = (owner_of(frame) for frame in own_part(stack) if not frame.internal)
    return tuple(name for name, _ in groupby(filter(None, owners)))


@per_frame
def _name(frame: Frame) -> str:
    if frame.function is None:
        return f"{_base(frame.module or '')}+"
    name = _ADDRESS.sub("0x", lasting_name(frame))
    return f"{name} {_base(frame.file)}" if frame.file and language(frame.language).names_by_file else name


def _base(path: str) -> str:
    """A file's name; with its folder's where the file's own says nothing (``shop/__init__.py``)."""
    folders = path.split("/")
    own = folders[-2:] if _WHOLE_FOLDERS.match(folders[-1]) else folders[-1:]
    return "/".join(map(unversioned, own))

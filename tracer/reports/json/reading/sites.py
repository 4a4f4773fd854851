"""From the JSON of a leak site to a Site: its stacks, threads, holders and sockets."""

from __future__ import annotations

from dataclasses import fields as fields_of
from dataclasses import replace
from typing import Optional

from tracer.model.finding import Application, Direction, Finding, Remote, Share, Site, Verdict, Where
from tracer.model.frame import Frame, Stack
from tracer.model.holder import HeldAlike, Lineage, Link, Missing, Root, RootKind, Use
from tracer.model.identity import Identity
from tracer.model.thread import Polled, Present, Standing
from tracer.reports.json.reading.fields import BadReport, Fields, several
from tracer.reports.json.reading.record import Sockets

_STACKS = ("stack", "opened_stack", "sent_stack")


def site(fields: Fields, sockets: Sockets, now_ns: int) -> Site:
    """Make the site; ``now_ns`` is the end of the report, ns since the epoch."""
    shown = {key: stack(fields, key) for key in _STACKS}
    held = several(fields.parts("held_by"), _alike)
    now = several(fields.parts("now"), lambda one: _present(one, sockets, now_ns))
    findings = several(fields.parts("sockets"), lambda one: _finding(one, sockets, shown, held, now_ns))
    if not findings:
        raise BadReport(f"{fields.where}.sockets is empty")
    made = Site(
        pid=fields.whole("pid"),
        comm=fields.text("comm"),
        verdict=fields.one_of("verdict", Verdict),
        remote=fields.text("remote"),
        last_op=fields.text("last_op"),
        stack=shown["stack"],
        stack_note=fields.maybe_text("stack_note"),
        opened_stack=shown["opened_stack"],
        findings=findings,
        explanation=fields.texts("explanation"),
        advice=fields.texts("advice_parts") or tuple(filter(None, [fields.text("advice")])),
        program=fields.text("program", ""),
        direction=fields.one_of("direction", Direction) if fields.has("direction") else Direction.UNKNOWN,
        listening=fields.maybe_text("listening"),
        processes=several(fields.parts("processes"), _share),
        remotes=several(fields.parts("remotes"), lambda one: Remote(one.text("remote"), one.count("count"))),
        now=now,
        not_looked_at=fields.count("not_looked_at"),
        sent_stack=shown["sent_stack"],
        held=held,
        id=fields.text("id", ""),
    )
    return _with_application(made, fields.part("application"))


def stack(fields: Fields, key: str) -> Optional[Stack]:
    """The stack below ``key``, with ``key_complete`` and ``key_note``; None if it has no frames."""
    frames = several(fields.parts(key), _frame)
    if not frames:
        return None
    return Stack(frames, fields.flag(f"{key}_complete"), fields.maybe_text(f"{key}_note"))


def _frame(one: Fields) -> Frame:
    pc = one.text("pc", "0x0")
    try:
        address = int(pc, 16)
    except ValueError:
        raise BadReport(f"{one.where}.pc is not an address") from None
    return Frame(
        function=one.maybe_text("function"),
        module=one.maybe_text("module_path") or one.maybe_text("module"),
        offset=one.whole("offset", 0),
        file=one.maybe_text("file"),
        line=one.maybe_whole("line"),
        language=one.text("language", "native"),
        inlined=one.flag("inlined"),
        internal=one.flag("internal"),
        note=one.maybe_text("note"),
        pc=address,
        of_program=one.flag("of_program"),
    )


def _with_application(made: Site, fields: Fields) -> Site:
    where = fields.one_of("stack", Where) if fields.has("stack") else Where.NONE
    index = fields.maybe_whole("index")
    stacks = {Where.LAST: made.stack, Where.SENT: made.sent_stack, Where.OPENED: made.opened_stack}
    chosen = made.now[0].stack if where is Where.NOW and made.now else stacks.get(where)
    if index is not None and (chosen is None or not 0 <= index < len(chosen.frames)):
        raise BadReport(f"{fields.where}.index is outside of its stack")
    if where is Where.NOW and chosen is None:
        raise BadReport(f"{fields.where}.stack is not there")
    return replace(made, application=Application(where, index, fields.maybe_text("loop")))


def _share(one: Fields) -> Share:
    identity = Identity(**{known.name: one.text(known.name, "") for known in fields_of(Identity)})
    return Share(one.whole("pid"), one.text("comm"), one.count("count"), identity)


def _present(one: Fields, sockets: Sockets, now_ns: int) -> Present:
    threads = several(one.parts("threads"), sockets.thread)
    if not threads:
        raise BadReport(f"{one.where}.threads is empty")
    since = now_ns - one.ns("since_s") if one.has("since_s") else None
    longest = now_ns - one.ns("longest_s") if one.has("longest_s") else None
    standing, call, note = one.one_of("state", Standing), one.maybe_text("syscall"), one.maybe_text("stack_note")
    polls = Polled(*(one.part("polls").count(key) for key in ("told", "untold"))) if one.has("polls") else None
    return Present(threads, standing, call, since, stack(one, "stack"), note, longest, one.flag("beside"), polls)


def _finding(
    one: Fields,
    sockets: Sockets,
    shown: dict[str, Optional[Stack]],
    held: tuple[HeldAlike, ...],
    now_ns: int,
) -> Finding:
    place = one.maybe_whole("held_by")
    if place is not None and not 0 <= place < len(held):
        raise BadReport(f"{one.where}.held_by is outside of the site's list")
    lineage = held[place].lineage if place is not None else None
    connection = sockets.connection(one, shown, lineage)
    since_ns = now_ns - one.ns("close_wait_s")
    return Finding(connection, one.one_of("verdict", Verdict), one.texts("evidence"), since_ns)


def _alike(one: Fields) -> HeldAlike:
    root = one.part("root")
    lineage = Lineage(
        fd=-1,
        links=several(one.parts("links"), _link),
        root=Root(root.one_of("kind", RootKind), root.text("name"), root.flag("own")) if one.has("root") else None,
        library=one.text("library", ""),
        use=one.one_of("use", Use) if one.has("use") else None,
        missing=one.one_of("missing", Missing) if one.has("missing") else None,
        beside=one.text("beside", ""),
    )
    return HeldAlike(one.count("count"), lineage)


def _link(one: Fields) -> Link:
    flags = (one.flag("own"), one.flag("inner"), one.flag("function"))
    return Link(one.text("class"), one.text("field"), *flags)

"""Answers one question from what a session has recorded, as finished text."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Union

from tracer.agent import records
from tracer.agent.coverage import missing
from tracer.agent.listener import Answer
from tracer.agent.protocol import About, Question, Refusal
from tracer.model.connection import Connection
from tracer.model.finding import Report
from tracer.model.scope import Scope
from tracer.reports.json import report as document
from tracer.reports.text import table, timeline
from tracer.session.session import Session


def answer(question: Question, session: Session, recorded: Scope) -> Union[Answer, Refusal]:
    """The text in pieces, or why there is none. ``recorded`` is the scope of the session."""
    lacking = missing(question.scope, recorded, session.members())
    if lacking:
        return Refusal("scope", lacking)
    if question.what == "census":
        return _census(question, session)
    part = session.part(question.scope, question.target, question.linger_ns)
    report = session.report(part)
    pieces = _lives(report, question) if question.what == "timeline" else _report(report, question)
    return About(report.lingering, session.forgotten), pieces


def _census(question: Question, session: Session) -> Answer:
    """Which code path left which socket. It is asked again and again, so it does not look where threads are now."""
    part = session.part(question.scope, question.target, session.linger_ns)
    report = session.report(part, threads=False)
    return About(report.lingering, session.forgotten), records.lines(report)


def _report(report: Report, question: Question) -> Iterator[str]:
    if question.as_json:
        return document.to_text(report)
    return iter([table.render(report, width=question.width, color=question.color, all_frames=question.all_frames)])


def _lives(report: Report, question: Question) -> Iterator[str]:
    """Each connection that lingers or had lingered, in the order in which they began."""
    known = [finding.connection for site in report.sites for finding in site.findings]
    known += [gone.connection for gone in report.ended_findings]
    for connection in sorted(known, key=lambda one: one.birth_ns):
        yield _life(connection, report.clock_offset_ns, question) + "\n"


def _life(connection: Connection, offset_ns: int, question: Question) -> str:
    if question.as_json:
        return document.timeline_to_text(connection, offset_ns)
    return timeline.render(connection, offset_ns, width=question.width, color=question.color)

"""What happened at a leak site and what to change, in plain sentences that name the mechanism."""

from __future__ import annotations

from typing import Callable, Optional

from tracer.diagnose.present import END_IS_KNOWN, owes_a_call
from tracer.diagnose.texts import held, holding, idling, reading, sending, unknown
from tracer.diagnose.texts.site import Answer, TextSite
from tracer.model.finding import Finding, Verdict
from tracer.model.frame import Stack
from tracer.model.thread import Present


def advise(
    verdict: Verdict,
    members: list[Finding],
    stack: Optional[Stack],
    opened: Optional[Stack],
    now: tuple[Present, ...] = (),
) -> Answer:
    """Explanation and advice for the sockets of one site.

    ``stack`` is the telling call's, ``opened`` the opener's, ``now`` is where the threads are. Members with another
    verdict differ by the moment of FIN alone; they get a sentence of their own.
    """
    site = TextSite([one for one in members if one.verdict is verdict], stack, opened, now)
    why, todo = _BY_VERDICT[verdict](site)
    others = [one.connection for one in members if one.verdict is not verdict]
    if others:
        why = (reading.apart_in_time(site, others), *why)
    if site.lost and verdict is not Verdict.LOST:
        why = (*why, held.nothing_refers(site))
    if site.heap_may_tell and not site.kept and not site.threads.stuck:  # that names the program's part
        todo = (*todo, held.look_into_the_heap(site))
    if verdict is not Verdict.HELD_ELSEWHERE:
        also, close_it_too = holding.held_too(site)
        why, todo = (*why, *also), (*todo, *close_it_too)
    why = (*why, *holding.in_own_tables(site))
    if verdict in END_IS_KNOWN:
        at_work, find = reading.still_at_work(site)
        why, todo = (*why, *at_work), (*find, *todo)
    polled = site.polled()
    if polled:
        why, todo = (*why, *polled), (*todo[:1], _ASK_FOR_INPUT, *todo[1:])
    if not owes_a_call(verdict, stack):
        return why, todo
    also, first, second = reading.threads_now(site)
    return (*why, *also), (*first, *todo[:1], *second, *todo[1:])


_ASK_FOR_INPUT = (
    "Let that poll or select ask for input, too (POLLIN or POLLRDHUP, the set to read), and close what has ended."
)

_BY_VERDICT: dict[Verdict, Callable[[TextSite], Answer]] = {
    Verdict.EOF_IGNORED: reading.eof_ignored,
    Verdict.END_TAKEN: reading.end_with_data,
    Verdict.IDLE_IN_POOL: idling.idle_in_pool,
    Verdict.NOT_RELEASED: idling.not_released,
    Verdict.LOST: held.lost,
    Verdict.UNREAD_DATA: reading.unread_data,
    Verdict.READING_PAUSED: reading.reading_paused,
    Verdict.NEVER_READ: reading.never_read,
    Verdict.NEVER_ACCEPTED: holding.never_accepted,
    Verdict.HELD_ELSEWHERE: holding.held_elsewhere,
    Verdict.HALF_CLOSED_IN_USE: sending.half_closed_in_use,
    Verdict.BLOCKED_IN_CALL: holding.blocked_in_call,
    Verdict.SEND_STALLED: sending.send_stalled,
    Verdict.RESET_STILL_OPEN: holding.reset_still_open,
    Verdict.NOT_READ_SINCE: reading.not_read_since,
    Verdict.UNKNOWN: unknown.unknown,
}

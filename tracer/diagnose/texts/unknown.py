"""Connections of which no call was seen: what the kernel knows of them, and what to do to see more."""

from __future__ import annotations

from tracer.diagnose import words
from tracer.diagnose.facts import before_trace, opened_here
from tracer.diagnose.texts.site import UNSEEN, Answer, TextSite


def unknown(site: TextSite) -> Answer:
    """Nothing was seen of it."""
    older = all(c.preexisting for c in site.connections)
    held = any(c.holders for c in site.connections)
    why = [_older(site) if older else "No call was seen on " + site.say("it.", "them.")]
    crowded_out = all(c.crowded_out and not c.preexisting for c in site.connections)
    others = all(c.unrecorded for c in site.connections) and not crowded_out
    if crowded_out:
        why = ["Nothing of " + site.say("it", "them") + " is recorded: no record was free (`lost` tells how often)."]
    elif others:
        it = site.say("it", "them")
        why = [f"No call of a process in scope on {it} was recorded: others used {it}."]
    if site.unseen:
        why = [UNSEEN]
    if held:
        why.append(f"Held by {site.holders()}.")
    why += _last_data(site)
    if any(c.rx_queue == 1 for c in site.connections):
        so = "" if site.may_know else ": no read has told the program that the peer hung up"
        why.append(f"The end (FIN) is unread{so}.")
    if crowded_out:
        return tuple(why), (*_by_direction(site), "Give closetrace more memory for records (--memory), or a filter.")
    return tuple(why), (*_by_direction(site), _trace_others(site) if others else _leave_running(site))


def _older(site: TextSite) -> str:
    it_is, it = site.say("It is", "They are"), site.say("it", "them")
    if all(map(before_trace, site.connections)):
        return f"{it_is} older than the trace and no call has touched {it} since."
    began = site.say("it began", "they began")
    return (
        f"{it_is} older than the trace, or no record was free when {began} (`lost` tells how often, --memory gives"
        f" more): no call on {it} was seen."
    )


def _last_data(site: TextSite) -> list[str]:
    """How long ago data came last, by the kernel's own count: longer ago than the trace; on how many, if not on all."""
    counted = [(c, c.kernel) for c in site.connections if c.kernel is not None and c.kernel.bytes_received is not None]
    none = sum((k.bytes_received or 0) <= 1 for _, k in counted)  # FIN counts as one byte
    known = [(c, k.last_data_in_ns) for c, k in counted if (k.bytes_received or 0) > 1]
    ages = sorted(c.seen_ns - ns for c, ns in known if ns is not None)
    never = site.say("The peer has never sent any data.", f"On {none} of the {site.count} no data have ever come.")
    if none == site.count and not site.one:
        never = f"No data have ever come on any of the {site.count}."
    if not ages:
        return [never] if none else []
    low, high = words.duration(ages[0]), words.duration(ages[-1])
    last = f"he last data came {low if low == high else f'{low} to {high}'} ago."
    if len(ages) == site.count:
        return [f"T{last}"]
    return [f"On {len(ages)} of the {site.count} t{last}", *([never] if none else [])]


def _by_direction(site: TextSite) -> tuple[str, ...]:
    if all(c.passive for c in site.connections):
        served = words.listed(sorted({str(c.local) for c in site.connections}))
        return (
            f"The program accepted {site.say('it', 'them')} on {served}: look at the handler that serves there, and"
            " give idle connections a timeout.",
        )
    if all(opened_here(c) for c in site.connections):
        it = site.say("it", "them")
        return (f"The program opened {it}: look at what keeps connections to this peer, and at their idle timeout.",)
    return ()


def _trace_others(site: TextSite) -> str:
    return (
        f"Close {site.say('it', 'them')} in {site.holders()} right after fork or after passing on; to see the calls"
        " trace the processes that make them, too (--children, a filter by port, or none)."
    )


def _leave_running(site: TextSite) -> str:
    pids = sorted({h.pid for c in site.connections for h in c.holders})
    pid = f" --pid {pids[0]}" if pids else ""
    return f"Leave `closetrace{pid}` running until the program opens new connections: those are told with their stacks."

"""The census as JSON (docs/census.schema.json)."""

from __future__ import annotations

import json
from datetime import datetime, timezone
from typing import Any, Optional

from tracer.diagnose.census import advice as census_advice
from tracer.diagnose.census.counts import Census, Group, Namespace, Owner, OwnerKind
from tracer.diagnose.census.ports import PortUse
from tracer.diagnose.census.recorded import NO_FRAME, Attributed, PathCount, Records, attribute
from tracer.host.tcp_settings import TIME_WAIT_S

SCHEMA = "closetrace.census/1"


def render(census: Census, records: Optional[Records] = None, indent: Optional[int] = 2) -> str:
    """One JSON document; ``records`` is what an agent told. ``indent`` None puts it on one line."""
    return json.dumps(document(census, records), indent=indent)


def document(census: Census, records: Optional[Records] = None) -> dict[str, Any]:
    """Build the document as plain values. Times are seconds, shares parts of one."""
    explained = {it.state: it.sentences for it in census_advice.explain(census)}
    return {
        "schema": SCHEMA,
        "taken": _time(census.taken),
        "namespaces": [_namespace(it) for it in census.namespaces],
        "connections": len(census.connections),
        "listeners": census.listeners,
        "unowned": census.unowned,
        "states": [
            {
                "state": it.state.name,
                "count": it.count,
                "closed_first": it.closed_first,
                "explanation": list(explained.get(it.state, ())),
            }
            for it in census.states
        ],
        "groups": [_group(it) for it in census.groups],
        "ports": [_ports(it) for it in census.ports],
        "warnings": list(census_advice.warnings(census)),
        "recorded": None if records is None else _recorded(attribute(census, records)),
    }


def _time(epoch: float) -> str:
    return datetime.fromtimestamp(epoch, timezone.utc).isoformat(timespec="milliseconds")[:-6] + "Z"


def _recorded(found: Attributed) -> dict[str, Any]:
    return {
        "since": _time(found.since),
        "linger_s": found.linger_ms / 1000,
        "close_wait": found.sockets,
        "sites": [_site(one) for one in found.paths],
        "older": found.older,
        "younger": found.younger,
        "unknown": found.unknown,
        "crowded_out": found.crowded_out,
    }


def _site(one: PathCount) -> dict[str, Any]:
    path = one.path
    return {
        "id": path.id,
        "count": one.count,
        "oldest_s": one.oldest_ms / 1000,
        "program": path.program,
        "pid": one.pid or None,
        "others": one.others,
        "verdict": path.verdict,
        "remote": one.remote,
        "frame": None if path.where == NO_FRAME else path.where,
    }


def _namespace(space: Namespace) -> dict[str, Any]:
    settings = space.settings
    return {
        "netns": space.inode,
        "name": space.name,
        "settings": settings
        and {
            "ip_local_port_range": [settings.first_port, settings.last_port],
            "reserved_ports": len(settings.reserved),
            "tcp_tw_reuse": settings.tw_reuse,
            "tcp_timestamps": settings.timestamps,
            "tcp_fin_timeout_s": settings.fin_timeout_s,
            "time_wait_s": TIME_WAIT_S,
        },
    }


def _group(group: Group) -> dict[str, Any]:
    return {
        "netns": group.netns,
        "state": group.state.name,
        "count": group.count,
        "direction": "incoming" if group.incoming else "outgoing",
        "local_port": group.local_port or None,
        "remote": group.remote,
        "quiet_s": None if group.quiet_ms is None else group.quiet_ms / 1000,
        "owner": _owner(group.owner),
    }


def _owner(owner: Owner) -> dict[str, Any]:
    known = owner.kind in (OwnerKind.PROCESS, OwnerKind.QUEUE) and owner.pid > 0
    return {
        "kind": owner.kind.value,
        "pid": owner.pid if known else None,
        "comm": owner.comm if known else None,
        "others": owner.others,
    }


def _ports(use: PortUse) -> dict[str, Any]:
    return {
        "netns": use.netns,
        "source": use.source,
        "destination": str(use.destination),
        "used": use.used,
        "time_wait": use.time_wait,
        "usable": use.usable,
        "share": round(use.share, 4),
        "blocked_share": round(use.blocked_share, 4),
        "time_wait_reusable": use.reusable,
        "near_exhaustion": use.near_exhaustion,
    }

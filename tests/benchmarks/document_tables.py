"""The tables of docs/overhead.md, each from the rows of one run."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Optional

from tests.benchmarks import guest_peers, interpreted
from tests.benchmarks.readout import NONE, Results, Row, find, markdown, number, percent, ratio, rows_of, share, value

_EMPTY, _NAIVE, _BPFTRACE, _OURS = "empty program", "naive bcc", "bpftrace ustack", "closetrace"
_UNTRACED, _AGAIN = "nothing", "nothing, again"
_ORDER = (_AGAIN, _EMPTY, _OURS, _BPFTRACE, _NAIVE)


def _call_sizes(rows: Sequence[Row]) -> list[tuple[int, int]]:
    return list(dict.fromkeys((row["depth"], row["sockets"]) for row in rows))


def _size(depth: int, sockets: int) -> str:
    return f"{depth}, {'one' if sockets == 1 else f'{sockets} in turn'}"


def _hooks(name: str) -> Callable[[Results], str]:
    """Return the table of ns per hook run."""

    def make(results: Results) -> str:
        rows, lines = rows_of(results, name), []
        for depth, sockets in _call_sizes(rows):
            ns = {t: value(find(rows, tracer=t, depth=depth, sockets=sockets), "ns_per_run") for t in _ORDER}
            parts = [number(ns[t], 0) for t in (_EMPTY, _OURS, _BPFTRACE, _NAIVE)]
            ratios = [number(ratio(ns[_OURS], ns[t]), 2) for t in (_BPFTRACE, _NAIVE)]
            lines.append([_size(depth, sockets), *parts, *ratios])
        head = ["callers, sockets", "empty", _OURS, "bpftrace", _NAIVE, "of bpftrace's", "of the naive one's"]
        return markdown(head, lines)

    return make


def _interpreted(results: Results) -> str:
    rows, lines = rows_of(results, "interpreted"), []
    for work in dict.fromkeys(row["work"] for row in rows):
        found = [find(rows, tracer=tracer, work=work) for tracer in (interpreted.WITHOUT, _OURS, _BPFTRACE)]
        ns = [value(row, "ns_per_run") for row in found]
        stack = number(value(found[0], "c_stack_bytes"), 0)
        lines.append(
            [work, stack, *(number(one, 0) for one in ns[:2]), number(ratio(ns[1], ns[0]), 2), number(ns[2], 0)]
        )
    head = ["work", "bytes of C stack", "without frames", _OURS, "ratio", "bpftrace"]
    return markdown(head, lines)


def _left(name: str) -> Callable[[Results], str]:
    """Return the table of throughput, as a share of the untraced program's."""

    def make(results: Results) -> str:
        rows, lines = rows_of(results, name), []
        for depth, sockets in _call_sizes(rows):
            cells = [share(find(rows, tracer=t, depth=depth, sockets=sockets)) for t in _ORDER]
            lines.append([_size(depth, sockets), *cells])
        return markdown(["callers, sockets", "untraced again", "empty", _OURS, "bpftrace", _NAIVE], lines)

    return make


def _churn_lines(rows: Sequence[Row], order: Sequence[str]) -> list[list[str]]:
    named = [row for tracer in order if (row := find(rows, tracer=tracer))]
    others = [row for row in rows if row["tracer"] not in (*order, _UNTRACED)]
    return [
        [
            "untraced again" if row["tracer"] == _AGAIN else row["tracer"],
            share(row),
            percent(value(row, "tracer_cpu"), 1),
            number(value(row, "kernel_us_per_connection")),
        ]
        for row in (*named, *others)
    ]


def _churn(results: Results) -> str:
    head = ["", "connections per CPU second, of untraced", "user space CPU", "us of kernel per connection"]
    return markdown(head, _churn_lines(rows_of(results, "churn"), _ORDER))


def _loss(results: Results) -> str:
    rows, lines = rows_of(results, "loss"), []
    for row in rows:
        more = row["us_more"]
        us = f"{number(more['median'])} ({number(more['low'])} to {number(more['high'])})"
        left, low, high = (percent(row["share_of_untraced"][part], 1) for part in ("median", "low", "high"))
        name = "untraced, of the run before" if row["tracer"] == _AGAIN else row["tracer"]
        lines.append([name, us, f"{left} ({low} to {high})", number(more["n"])])
    return markdown(["", "us of CPU time more", "connections per CPU second, of untraced", "runs"], lines)


def _rates(results: Results) -> str:
    rows = rows_of(results, "rates")
    rates = list(dict.fromkeys(row["connections_per_s"] for row in rows))
    lines = []
    for tracer in (_OURS, _NAIVE):
        cpu = (value(find(rows, tracer=tracer, connections_per_s=rate), "tracer_cpu") for rate in rates)
        lines.append([tracer, *(percent(one, 1) for one in cpu)])
    return markdown(["connections per second", *(number(rate) for rate in rates)], lines)


def _scope(results: Results) -> str:
    rows, lines = rows_of(results, "scope"), []
    for work in dict.fromkeys(row["work"] for row in rows):
        again, empty, ours = (find(rows, tracer=t, work=work) for t in (_AGAIN, _EMPTY, "closetrace --pid"))
        ns = [value(row, "ns_per_run") for row in (empty, ours)]
        cells = [number(ns[0], 0), number(ns[1], 0), number(ratio(ns[1], ns[0]), 1)]
        lines.append([work, *cells, share(ours), share(empty), share(again)])
    head = ["work", "empty, ns per run", "closetrace --pid", "ratio", "throughput left", "empty", "untraced again"]
    return markdown(head, lines)


def _losses(row: Row) -> str:
    return ", ".join(f"{count:,} {name}" for name, count in row["losses"].items() if count) or "none"


def _lingering(results: Results) -> str:
    lines = []
    for row in (*rows_of(results, "lingering"), *rows_of(results, "budget")):
        option = "" if row["memory_option"] == "default" else f", `--memory {row['memory_option']}`"
        lines.append(
            [
                f"{row['sockets']:,}, {row['paths']}{option}",
                f"{row['report_s']:.1f} s",
                f"{row['cpu_s']:.1f} s",
                f"{row['rss_mb']:.0f} MB",
                f"{row['json_mb']:.1f} MB",
                f"{row['reported']:,}",
                f"{row['sites']:,}",
                f"{row['with_stack']:,}",
                _losses(row),
            ]
        )
    head = ["sockets, call paths", "report", "CPU", "RSS", "JSON", "reported", "sites", "with their stack", "lost"]
    return markdown(head, lines)


def _idle(results: Results) -> str:
    lines = [
        [
            f"{row['sockets']:,}",
            row["memory_option"],
            f"{row['kernel_maps_mb']:.0f} MB",
            f"{row['rss_mb']:.0f} MB",
            percent(row["cpu_at_rest"], 1),
            f"{row['settled_s']:.0f} s",
        ]
        for row in rows_of(results, "idle")
    ]
    return markdown(["sockets", "`--memory`", "kernel memory", "RSS", "CPU of a core", "watched for"], lines)


def _seconds(row: Optional[Row], column: str) -> str:
    found = None if row is None else row.get(column)
    return NONE if found is None else f"{found['median']:.2f} s ({found['low']:.2f} to {found['high']:.2f})"


def _starting(results: Results) -> str:
    lines = [
        [row["tracer"], *(_seconds(row, column) for column in ("start_s", "start_cpu_s", "stop_s"))]
        for row in rows_of(results, "starting")
    ]
    return markdown(["", "exec to attached", "CPU of that", "SIGINT to the end"], lines)


def _range(found: Mapping[str, float]) -> str:
    return f"{found['median']:,.0f} ({found['low']:,.0f} to {found['high']:,.0f})"


def _tail(results: Results) -> str:
    lines = []
    for row in rows_of(results, "tail"):
        cost = value(row, "cpu_s_per_million")
        counts = [_range(row[column]) for column in ("produced", "lost", "unaccounted")]
        lines.append([row["tracer"], f"{number(cost, 1)} s", number(ratio(1e6, cost), 0), *counts])
    head = ["", "CPU for a million", "so at most, per second of a core", "produced", "lost", "produced - shown - lost"]
    return markdown(head, lines)


def _memory(results: Results) -> str:
    lines = [
        [
            f"{row['memory_mb']} MB",
            f"{row['records']:,}",
            f"{row['boxes']:,}",
            f"{row['small_boxes']:,}",
            f"{row['kernel_maps_mb']:.0f} MB",
            f"{row['rss_mb']:.0f} MB",
        ]
        for row in rows_of(results, "memory")
    ]
    return markdown(
        ["`--memory`", "records", "boxes of 16 KiB", "of 4 KiB", "kernel memory", "closetrace itself"], lines
    )


def _stack_bytes(results: Results) -> str:
    rows = rows_of(results, "stack_bytes")
    sizes = list(dict.fromkeys(row["stack_bytes"] for row in rows))
    lines = [
        [
            f"{depth} callers",
            *(f"{number(value(find(rows, stack_bytes=size, depth=depth), 'ns_per_run'), 0)} ns" for size in sizes),
        ]
        for depth in dict.fromkeys(row["depth"] for row in rows)
    ]
    return markdown(["`--stack-bytes`", *(str(size) for size in sizes)], lines)


def _guest(results: Results) -> str:
    touch, churn = rows_of(results, "touch"), rows_of(results, "churn")
    lines = []
    for row in churn:
        tracer = row["tracer"]
        if tracer == _UNTRACED:
            continue
        calls, empty = find(touch, tracer=tracer), guest_peers.empty_for(tracer)
        ns = ratio(value(calls, "ns_per_run"), value(find(touch, tracer=empty), "ns_per_run"))
        us = ratio(value(row, "kernel_us_per_connection"), value(find(churn, tracer=empty), "kernel_us_per_connection"))
        lines.append([tracer, number(ns, 1), share(calls), number(us, 1), share(row)])
    head = ["", "ns per call hook, of the empty program's", "calls left", "kernel time per connection, of the empty "
            "program's", "connections left"]  # fmt: skip
    return markdown(head, lines)


Makers = Mapping[str, tuple[Sequence[str], Callable[[Results], str]]]

HOST: Makers = {
    "hooks": (("touch",), _hooks("touch")),
    "throughput": (("touch",), _left("touch")),
    "java hooks": (("java",), _hooks("java")),
    "java throughput": (("java",), _left("java")),
    "interpreted": (("interpreted",), _interpreted),
    "connections": (("churn",), _churn),
    "loss": (("loss",), _loss),
    "rates": (("rates",), _rates),
    "scope": (("scope",), _scope),
    "lingering": (("lingering", "budget"), _lingering),
    "idle": (("idle",), _idle),
    "starting": (("starting",), _starting),
    "tail": (("tail",), _tail),
    "memory": (("memory",), _memory),
    "stack bytes": (("stack_bytes",), _stack_bytes),
}
GUEST: Makers = {"peers in a guest": (("touch", "churn"), _guest)}

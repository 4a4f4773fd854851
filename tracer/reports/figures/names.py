"""All metrics that are exported. docs/fleet.md lists them; a test compares the two."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

_SUFFIX = {"s": "_seconds", "By": "_bytes", "1": "_ratio"}


class Label(NamedTuple):
    """A label: its name in Prometheus, and the attribute in OpenTelemetry (of its conventions, if they have one)."""

    name: str
    attribute: str


PROGRAM = Label("program", "process.executable.name")
SITE = Label("site", "closetrace.site.id")
VERDICT = Label("verdict", "closetrace.verdict")
UNIT = Label("unit", "closetrace.systemd.unit")
NAMESPACE = Label("namespace", "k8s.namespace.name")
POD = Label("pod", "k8s.pod.name")
CONTAINER = Label("container", "k8s.container.name")
POD_UID = Label("pod_uid", "k8s.pod.uid")
CONTAINER_ID = Label("container_id", "container.id")
SOURCE = Label("source", "network.local.address")
DESTINATION = Label("destination", "network.peer.address")
PORT = Label("port", "network.peer.port")
KIND = Label("kind", "closetrace.kind")
EXPORTER = Label("exporter", "closetrace.exporter")
VERSION = Label("version", "closetrace.version")
_HOME = (UNIT, NAMESPACE, POD, CONTAINER, POD_UID, CONTAINER_ID)
_WHOSE = (PROGRAM, SITE, VERDICT, *_HOME)
_KNOWN = (PROGRAM, SITE, *_HOME)


@dataclass(frozen=True)
class Metric:
    """``name`` is OpenTelemetry's. ``unit`` is in UCUM; a name in braces counts things. ``total``: it only grows."""

    name: str
    unit: str
    help: str
    labels: tuple[Label, ...] = ()
    total: bool = False

    @property
    def prometheus(self) -> str:
        """The name by Prometheus' conventions: what OpenTelemetry's rules make of ``name`` and ``unit``."""
        return self.name.replace(".", "_") + _SUFFIX.get(self.unit, "") + ("_total" if self.total else "")


CLOSE_WAIT = Metric(
    "closetrace.close_wait.sockets",
    "{socket}",
    "Sockets that have been in CLOSE_WAIT for longer than the threshold.",
    _WHOSE,
)
OLDEST = Metric(
    "closetrace.close_wait.oldest_age", "s", "How long the oldest of these sockets has been in CLOSE_WAIT.", _WHOSE
)
NEVER_ACCEPTED = Metric(
    "closetrace.never_accepted.sockets",
    "{socket}",
    "Those of the sockets in CLOSE_WAIT that no call of accept has taken out of the accept queue.",
    _KNOWN,
)
RESET_OPEN = Metric(
    "closetrace.reset_still_open.sockets",
    "{socket}",
    "Sockets that were reset and that the program still has open. They are not in CLOSE_WAIT.",
    _KNOWN,
)
SITES = Metric("closetrace.sites", "{site}", "Leak sites.")
SITES_IN_OTHER = Metric("closetrace.sites.in_other", "{site}", 'Leak sites that are told together as site="other".')
WATCHED = Metric("closetrace.watched.sockets", "{socket}", "Sockets that closetrace follows.")
ENDED = Metric(
    "closetrace.ended.sockets",
    "{socket}",
    "Sockets that lingered and then left CLOSE_WAIT.",
    (VERDICT,),
    total=True,
)
PORTS_USED = Metric(
    "closetrace.ports.used",
    "1",
    "Part of the ephemeral ports from an address to an endpoint that is in use: the ten fullest.",
    (SOURCE, DESTINATION, PORT),
)
PORTS_TIME_WAIT = Metric(
    "closetrace.ports.time_wait",
    "1",
    "Part of the ephemeral ports from an address to an endpoint that TIME_WAIT alone holds: the ten fullest.",
    (SOURCE, DESTINATION, PORT),
)
LOSSES = Metric(
    "closetrace.losses", "{loss}", "What could not be kept or read, by kind (docs/json.md).", (KIND,), total=True
)
INCOMPLETE = Metric(
    "closetrace.incomplete", "{item}", "What the last look could not see as a whole, by kind (docs/json.md).", (KIND,)
)
RECONCILED = Metric(
    "closetrace.reconciliation.complete",
    "{bool}",
    "1 if the last look was held against the kernel's own list and nothing can be missing, else 0.",
)
CPU = Metric("closetrace.cpu", "s", "CPU time of closetrace's own processes.", total=True)
KERNEL_CPU = Metric("closetrace.kernel.cpu", "s", "Run time of closetrace's hooks in the kernel.", total=True)
RESIDENT = Metric("closetrace.resident_memory", "By", "Memory of closetrace's own processes, without the BPF maps.")
KERNEL_MEMORY = Metric("closetrace.kernel_memory", "By", "Memory of closetrace's BPF maps.")
RECORDING_SINCE = Metric(
    "closetrace.recording_since_timestamp", "s", "When the recording began. Older sockets have no stack."
)
LAST_LOOK = Metric("closetrace.last_look_timestamp", "s", "When closetrace looked last.")
DROPPED = Metric(
    "closetrace.export.dropped",
    "{report}",
    "Reports that an exporter did not send, as it was still busy with others.",
    (EXPORTER,),
    total=True,
)
FAILED = Metric(
    "closetrace.export.failed", "{report}", "Reports that an exporter could not send.", (EXPORTER,), total=True
)
WAITING = Metric("closetrace.export.waiting", "{event}", "Events that the collector has not taken yet.", (EXPORTER,))
BUILD = Metric("closetrace.build_info", "{bool}", "Always 1; the label tells the version.", (VERSION,))

ALL = (
    CLOSE_WAIT,
    OLDEST,
    NEVER_ACCEPTED,
    RESET_OPEN,
    SITES,
    SITES_IN_OTHER,
    WATCHED,
    ENDED,
    PORTS_USED,
    PORTS_TIME_WAIT,
    LOSSES,
    INCOMPLETE,
    RECONCILED,
    CPU,
    KERNEL_CPU,
    RESIDENT,
    KERNEL_MEMORY,
    RECORDING_SINCE,
    LAST_LOOK,
    DROPPED,
    FAILED,
    WAITING,
    BUILD,
)

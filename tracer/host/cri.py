"""What Kubernetes calls a container and its pod: asked of the container runtime (containerd, CRI-O) at its socket.

The request is ListContainers of runtime.v1.RuntimeService (api.proto of kubernetes/cri-api), by gRPC's own library. The
kubelet gives each container labels with the names. Who can reach this socket can start containers with all rights:
so it is asked only where a configuration names it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import Optional

from tracer.host.podnames import Names, checked
from tracer.trail import Trail

_log = Trail(__name__)

_METHOD = "/runtime.v1.RuntimeService/ListContainers"
_ANSWER_S = 5.0
_PAUSE_S = 10.0
"""Between two questions: a container that has no names is not asked for all the time."""
_MOST_BYTES = 16 << 20
_MOST_CONTAINERS = 16_384
_LABEL = "io.kubernetes."
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5


class Garbled(ValueError):
    """The bytes are no message."""


class Runtime:
    """Names from the runtime at a unix socket. A thread asks: whoever looks a name up gets it at a later look."""

    def __init__(self, socket: str) -> None:
        import grpc

        self._socket = socket
        options = (("grpc.max_receive_message_length", _MOST_BYTES), ("grpc.enable_http_proxy", 0))
        self._channel = grpc.insecure_channel(f"unix://{socket}", options)
        self._list = self._channel.unary_unary(_METHOD)
        self._containers: dict[str, Names] = {}
        self._pods: dict[str, Names] = {}
        self._wanted, self._ends = threading.Event(), threading.Event()
        self._next = 0.0
        self._thread = threading.Thread(target=self._run, name="closetrace-names", daemon=True)
        self._thread.start()

    def container(self, key: str) -> Optional[Names]:
        """Those of the container with this id, if the runtime told them already."""
        return self._known(self._containers, key)

    def pod(self, uid: str) -> Optional[Names]:
        """Those of the pod with this uid, if the runtime told them already."""
        return self._known(self._pods, uid)

    def _known(self, told: dict[str, Names], key: str) -> Optional[Names]:
        found = told.get(key)
        if found is None and time.monotonic() >= self._next:
            self._next = time.monotonic() + _PAUSE_S
            self._wanted.set()
        return found

    def close(self) -> None:
        """Ask no more. A question that is under way is given up."""
        self._ends.set()
        self._wanted.set()
        self._channel.close()
        self._thread.join(_ANSWER_S)

    def _run(self) -> None:
        while True:
            self._wanted.wait()
            self._wanted.clear()
            if self._ends.is_set():
                return
            try:
                self._take(self._list(b"", timeout=_ANSWER_S))
            except Exception as error:  # gRPC raises many kinds; the names are then not known, and nothing else is
                _log.debug("the container runtime at %s does not tell names: %r", self._socket, error)

    def _take(self, answer: bytes) -> None:
        told = dict(containers(answer))
        self._containers = {key: names for key, (_, names) in told.items()}
        self._pods = {uid: Names(names.namespace, names.pod) for uid, names in told.values()}


def containers(answer: bytes) -> Iterator[tuple[str, tuple[str, Names]]]:
    """The id, the pod's uid and the names of each container of a pod, from a ListContainersResponse. Raises Garbled."""
    for number, (_, item) in enumerate(field for field in _fields(answer) if field[0] == 1):
        if number >= _MOST_CONTAINERS:
            return
        key, labels = _container(item)
        names = checked(labels.get("pod.namespace", ""), labels.get("pod.name", ""), labels.get("container.name", ""))
        if key and names is not None:
            yield key, (labels.get("pod.uid", ""), names)


def _container(item: bytes) -> tuple[str, dict[str, str]]:
    """Its id, and those of its labels that are the kubelet's (message Container: id = 1, labels = 8)."""
    key, labels = "", {}
    for number, value in _fields(item):
        if number == 1:
            key = value.decode(errors="replace")
        elif number == 8:
            pair = dict(_fields(value))
            name = pair.get(1, b"").decode(errors="replace")
            if name.startswith(_LABEL):
                labels[name[len(_LABEL) :]] = pair.get(2, b"").decode(errors="replace")
    return key, labels


def _fields(data: bytes) -> Iterator[tuple[int, bytes]]:
    """The fields of a message that have a length, with their numbers (protobuf.dev, "Encoding"). Raises Garbled."""
    at = 0
    while at < len(data):
        tag, at = _varint(data, at)
        kind = tag & 7
        if kind == _VARINT:
            _, at = _varint(data, at)
        elif kind in (_FIXED64, _FIXED32):
            at += 8 if kind == _FIXED64 else 4
        elif kind == _BYTES:
            size, at = _varint(data, at)
            if size > len(data) - at:
                raise Garbled("a field is longer than its message")
            yield tag >> 3, data[at : at + size]
            at += size
        else:
            raise Garbled(f"there is no kind {kind} of field")


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """The number at ``at``, and where it ends."""
    value = 0
    for shift in range(0, 70, 7):
        if at >= len(data):
            break
        byte, at = data[at], at + 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
    raise Garbled("a number does not end")

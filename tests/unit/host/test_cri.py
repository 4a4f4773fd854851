"""Oracle: a gRPC server at a unix socket that speaks the runtime's messages, made by the official protobuf library."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent import futures
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from hypothesis import given
from hypothesis import strategies as st

from tracer.host import cri
from tracer.host.cri import Garbled, Runtime, containers
from tracer.host.podnames import Names, PodNames
from tracer.model.identity import Identity

APP, PAUSE = "a1" * 32, "c3" * 32
UID = "7f1c3a52-9c1d-4c0e-8d57-2a4f3b1c0d9e"
LABELS = {
    "io.kubernetes.container.name": "app",
    "io.kubernetes.pod.name": "web-0",
    "io.kubernetes.pod.namespace": "shop",
    "io.kubernetes.pod.uid": UID,
    "app": "x" * 300,
}


def _messages() -> Any:
    """ListContainersResponse as api.proto of kubernetes/cri-api (v1) has it, without what is not of interest here."""
    kind = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(name="cri.proto", package="runtime.v1", syntax="proto3")

    def message(name: str, *fields: tuple[int, str, int, str, bool], within: Any = None) -> Any:
        made = (within.nested_type if within is not None else file.message_type).add(name=name)
        for number, called, of_kind, of_type, several in fields:
            label = kind.LABEL_REPEATED if several else kind.LABEL_OPTIONAL
            made.field.add(name=called, number=number, type=of_kind, type_name=of_type or None, label=label)
        return made

    message("ContainerMetadata", (1, "name", kind.TYPE_STRING, "", False), (2, "attempt", kind.TYPE_UINT32, "", False))
    container = message(
        "Container",
        (1, "id", kind.TYPE_STRING, "", False),
        (2, "pod_sandbox_id", kind.TYPE_STRING, "", False),
        (3, "metadata", kind.TYPE_MESSAGE, ".runtime.v1.ContainerMetadata", False),
        (5, "image_ref", kind.TYPE_STRING, "", False),
        (6, "state", kind.TYPE_INT32, "", False),
        (7, "created_at", kind.TYPE_INT64, "", False),
        (8, "labels", kind.TYPE_MESSAGE, ".runtime.v1.Container.LabelsEntry", True),
    )
    entry = message(
        "LabelsEntry",
        (1, "key", kind.TYPE_STRING, "", False),
        (2, "value", kind.TYPE_STRING, "", False),
        within=container,
    )
    entry.options.map_entry = True
    message("ListContainersResponse", (1, "containers", kind.TYPE_MESSAGE, ".runtime.v1.Container", True))
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("runtime.v1.ListContainersResponse"))


RESPONSE = _messages()


def told(*several: tuple[str, dict[str, str]]) -> bytes:
    response = RESPONSE()
    for key, labels in several:
        one = response.containers.add(id=key, pod_sandbox_id=PAUSE, image_ref="sha256:0", state=1, created_at=1 << 60)
        one.metadata.name, one.metadata.attempt = "app", 3
        one.labels.update(labels)
    return bytes(response.SerializeToString())


class Server:
    """A container runtime. ``answers`` are given one after the other, the last one again and again."""

    def __init__(self, path: str) -> None:
        self.answers: list[bytes] = [told((APP, LABELS))]
        self.asked: list[bytes] = []
        self.went_on = threading.Event()
        self.went_on.set()
        handler = grpc.method_handlers_generic_handler(
            "runtime.v1.RuntimeService", {"ListContainers": grpc.unary_unary_rpc_method_handler(self._list)}
        )
        self.grpc = grpc.server(futures.ThreadPoolExecutor(2))
        self.grpc.add_generic_rpc_handlers((handler,))
        self.grpc.add_insecure_port(f"unix://{path}")
        self.grpc.start()

    def _list(self, request: bytes, _context: object) -> bytes:
        self.asked.append(request)
        self.went_on.wait(20)
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "runtime.sock")


@pytest.fixture
def server(path: str) -> Iterator[Server]:
    made = Server(path)
    yield made
    made.went_on.set()
    made.grpc.stop(None).wait()


@pytest.fixture
def runtime(path: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Runtime]:
    monkeypatch.setattr(cri, "_PAUSE_S", 0.0)
    made = Runtime(path)
    yield made
    made.close()


def until_told(names: PodNames, one: Identity) -> Identity:
    """Looked up again and again, as each report does."""
    deadline = time.monotonic() + 30
    while (found := names.named(one)) == one and time.monotonic() < deadline:
        time.sleep(0.01)
    return found


def test_the_runtime_tells_names(server: Server, runtime: Runtime) -> None:
    """By the container's id, and for what holds the pod's namespaces by the pod's uid."""
    names = PodNames(runtime)
    app = Identity("", APP, UID)
    assert until_told(names, app) == Identity("", APP, UID, "shop", "web-0", "app")
    assert until_told(names, Identity("", PAUSE, UID)) == Identity("", PAUSE, UID, "shop", "web-0")
    assert server.asked[0] == b""


def test_it_is_not_waited_for(server: Server, runtime: Runtime) -> None:
    """A runtime that hangs holds up neither who looks a name up nor the end."""
    server.went_on.clear()
    names, begun = PodNames(runtime), time.monotonic()
    for _ in range(1000):
        assert names.named(Identity("", APP, UID)).pod_name == ""
    names.close()
    assert time.monotonic() - begun < 4
    assert not runtime._thread.is_alive()


def test_it_is_not_asked_all_the_time(server: Server, path: str) -> None:
    """A container that it does not know is asked for once in ten seconds."""
    runtime = Runtime(path)
    names = PodNames(runtime)
    assert until_told(names, Identity("", APP, UID)).pod_name == "web-0"
    for _ in range(1000):
        names.named(Identity("", "ff" * 32, UID.replace("7", "8")))
    runtime.close()
    assert len(server.asked) == 1


def test_a_runtime_that_says_nonsense_or_is_gone(server: Server, runtime: Runtime) -> None:
    """Nothing is known, and it is asked again."""
    server.answers = [b"\xff" * 40, told((APP, {**LABELS, "io.kubernetes.pod.name": "\x1b[31m"})), told((APP, LABELS))]
    assert until_told(PodNames(runtime), Identity("", APP, UID)).pod_name == "web-0"
    assert len(server.asked) >= 3


def test_what_is_of_no_pod_is_left_out() -> None:
    """Containers that somebody started beside Kubernetes have no such labels."""
    found = dict(containers(told((APP, LABELS), (PAUSE, {"app": "x"}), ("", LABELS))))
    assert found == {APP: (UID, Names("shop", "web-0", "app"))}


@given(st.binary(max_size=200))
def test_any_bytes(data: bytes) -> None:
    """They are a message or none, whatever they are."""
    try:
        list(containers(data))
    except Garbled:
        return


@given(st.data())
def test_a_message_that_was_cut_or_changed(data: st.DataObject) -> None:
    """The same."""
    whole = bytearray(told((APP, LABELS)))
    at = data.draw(st.integers(0, len(whole) - 1))
    whole[at] = data.draw(st.integers(0, 255))
    for one in (bytes(whole), bytes(whole[:at])):
        try:
            found = dict(containers(one))
        except Garbled:
            continue
        assert all(names.pod.isascii() and names.pod.isprintable() for _, names in found.values())

"""The Java programs that hold sockets, how they are built and run, and what they say of their own sockets."""

from __future__ import annotations

import contextlib
import functools
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Optional

from tests.advice.programs import jars, java_path
from tests.live.oracles import ss
from tests.live.peers import serving
from tests.systems.jvm import Jdk, Jvm, running
from tracer.host.descriptors import waits
from tracer.model.holder import Lineage, RootKind, SocketAt

HERE = Path(__file__).resolve().parent
SMALL = ("-Xmx128m", "-XX:TieredStopAtLevel=1")
_JARS = (
    "tomcat10-jdbc tomcat10-juli tomcat10-catalina tomcat10-coyote tomcat10-util tomcat10-util-scan tomcat10-jni"
    " tomcat10-api tomcat10-servlet-api tomcat10-annotations-api tomcat10-jaspic-api tomcat10-el-api tomcat10-websocket"
    " tomcat10-websocket-api tomcat10-websocket-client-api servlet-api jetty9-server jetty9-client jetty9-http"
    " jetty9-io jetty9-util jetty9-servlet jetty9-security jetty9-websocket-api jetty9-websocket-common"
    " jetty9-websocket-server jetty9-websocket-servlet"
)


@contextlib.contextmanager
def listening() -> Iterator[int]:
    """A server on loopback that accepts all connections, keeps them, and never says anything; its port."""
    kept: list[socket.socket] = []
    with serving(kept.append) as port:
        yield port
        for one in kept:
            one.close()


@functools.cache
def classes() -> Path:
    """The compiled Holders, for Java 8."""
    target = Path(tempfile.mkdtemp(prefix="closetrace-lineage-"))
    words = ("javac", "-nowarn", "-Xlint:-options", "--release", "8", "-d", str(target))
    subprocess.run([*words, *map(str, HERE.glob("com/acme/*.java"))], check=True)
    target.chmod(0o755)
    return target


def library_command(program: str) -> tuple[str, ...]:
    """The words that run one of the programs in ``pools`` or ``servers``, led as those of tests/advice are."""
    return ("java", *SMALL, "-cp", f"{_library_classes()}:{java_path()}:{jars(_JARS)}", program)


@functools.cache
def _library_classes() -> Path:
    target = Path(tempfile.mkdtemp(prefix="closetrace-lineage-"))
    sources = sorted(map(str, (*HERE.glob("pools/*.java"), *HERE.glob("servers/*.java"))))
    words = ("javac", "-nowarn", "-d", str(target), "-cp", f"{java_path()}:{jars(_JARS)}")
    subprocess.run([*words, *sources], check=True)
    return target


@contextlib.contextmanager
def holders(
    jdk: Jdk, options: tuple[str, ...], peer: int, main: str = "Holders", extra: tuple[str, ...] = ()
) -> Iterator[Holders]:
    """Run Holders, or another program of com.acme, until all its sockets are there."""
    with running(jdk, classes(), (*SMALL, *options), (str(peer), *extra), main=f"com.acme.{main}") as jvm:
        said = [line.split() for line in jvm.until("READY")]
        kinds = {int(words[2]): words[1] for words in said if words[0] == "HOLDER"}
        yield Holders(jvm, kinds, peer)


@dataclass(frozen=True)
class Holders:
    """The running program. ``kinds`` says for each local port in which way the program holds the socket."""

    jvm: Jvm
    kinds: dict[int, str]
    peer: int

    def wanted(self) -> list[SocketAt]:
        """Its sockets, as ss lists them with their descriptors."""
        return sockets_of(self.jvm.pid, self.peer)

    def kind(self, wanted: list[SocketAt], lineage: Lineage) -> str:
        """In which way the program holds the socket that this is about."""
        (port,) = (one.local_port for one in wanted if one.fd == lineage.fd)
        return self.kinds[port]


def accepted_by(pid: int, port: int) -> list[SocketAt]:
    """The sockets of a process that it accepted on a port."""
    found = []
    for line in ss("sport", "=", f":{port}"):
        fds = [fd for owner, fd in line.holders if owner == pid]
        peer = line.remote.rsplit(":", 1)[1]
        if fds and peer.isdigit():
            found.append(SocketAt(fds[0], port, int(peer)))
    return found


def sockets_of(pid: int, peer: int) -> list[SocketAt]:
    """The sockets of a process that are connected to the port ``peer``."""
    found = []
    for line in ss("dport", "=", f":{peer}"):
        fds = [fd for owner, fd in line.holders if owner == pid]
        if fds:
            port = int(line.local.rsplit(":", 1)[1])
            found.append(SocketAt(fds[0], port, peer, waits(pid, fds[0])))
    return found


@dataclass(frozen=True)
class Truth:
    """How Holders holds the sockets of a kind: the root, and links (``Class.field``) that the chain goes through."""

    kind: Optional[RootKind]
    root: str = ""
    through: tuple[str, ...] = ()


_REGISTRY = "com.acme.Holders$Registry"
_SESSION = "com.acme.Holders$Registry$Session.sock"
TRUTH = {
    "map": Truth(
        RootKind.STATIC, "com.acme.Holders$Registry.INSTANCE", (_SESSION, "com.acme.Holders$Registry.sessions")
    ),
    "array": Truth(RootKind.STATIC, "com.acme.Holders$Cache.slots", (_SESSION,)),
    "list": Truth(RootKind.STATIC, "com.acme.Holders$Cache.queue", (_SESSION, "java.util.LinkedList.first")),
    "thread": Truth(RootKind.THREAD, "order-worker", (_SESSION, "com.acme.Holders$Worker.mine")),
    "channel": Truth(RootKind.STATIC, "com.acme.Holders$Channels.open"),
    "completing": Truth(RootKind.STATIC, "com.acme.Holders$Channels.completing"),
    "selector": Truth(RootKind.THREAD, "event-loop", ("sun.nio.ch.SelectionKeyImpl.channel",)),
    "stack": Truth(RootKind.STACK, "stack-holder"),
    "parked": Truth(RootKind.PARKED, "parked-holder"),
    "garbage": Truth(None),
}


def kinds_of(major: int) -> set[str]:
    """The kinds of holders that there are in a JDK: virtual threads came with 21."""
    return set(TRUTH) - (set() if major >= 21 else {"parked"})


def is_true(kind: str, lineage: Lineage) -> bool:
    """Whether the chain is the one that the program says."""
    truth = TRUTH[kind]
    if lineage.root is None or truth.kind is None:
        return lineage.root is None and truth.kind is None
    links = {f"{link.holder}.{link.field}" for link in lineage.links}
    return (lineage.root.kind, lineage.root.name) == (truth.kind, truth.root) and links >= set(truth.through)

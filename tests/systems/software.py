"""Runs nginx, Tomcat, Java programs and tcpdump as children of the test, each with its own configuration."""

from __future__ import annotations

import functools
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.live.namespaces import inside
from tests.live.oracles import ss
from tests.live.workload import Workload

PROGRAMS = Path(__file__).resolve().parent / "programs"
JAVA_HOME = Path(os.environ.get("CLOSETRACE_TEST_JAVA_HOME", "/usr/lib/jvm/java-17-openjdk-amd64"))
JARS = Path("/usr/share/java")
HTTPCLIENT_4 = ("httpclient.jar", "httpcore.jar", "commons-logging.jar", "commons-codec.jar")
HTTPCLIENT_3 = ("commons-httpclient.jar", "commons-logging.jar", "commons-codec.jar")
TOMCAT = Path("/usr/share/tomcat10")
START_LIMIT_S = 60


@contextmanager
def child(
    *words: str, log: Path, env: dict[str, str] | None = None, cwd: Path | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a process until the end of the block. It gets SIGTERM, then SIGKILL."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            words,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**os.environ, **(env or {})},
            cwd=cwd,
        )
        try:
            yield process
        finally:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def wait_for_port(netns: str, port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    """Wait until a process listens on this port."""
    end = time.monotonic() + START_LIMIT_S
    while not any(line.state == "LISTEN" and line.local.endswith(f":{port}") for line in ss(netns=netns)):
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < end, log.read_text()
        time.sleep(0.1)


NGINX_CONF = """
daemon off;
user root;
worker_processes 1;
pid {directory}/nginx.pid;
error_log {directory}/error.log;
events {{ }}
http {{
  access_log off;
  keepalive_timeout {keepalive_s}s;
  client_body_temp_path {directory}/body;
  proxy_temp_path {directory}/proxy;
  fastcgi_temp_path {directory}/fastcgi;
  uwsgi_temp_path {directory}/uwsgi;
  scgi_temp_path {directory}/scgi;
  server {{
    listen 127.0.0.1:{port};
    location /order {{ default_type text/plain; return 200 "order placed\\n"; }}
    location /shop/ {{ proxy_pass http://127.0.0.1:{upstream}; }}
  }}
}}
"""


@contextmanager
def nginx(netns: str, port: int, keepalive_s: int, upstream: int = 9) -> Iterator[None]:
    """Run nginx in the foreground. It answers /order itself and is a proxy to ``upstream`` for /shop/."""
    with tempfile.TemporaryDirectory(prefix="closetrace-nginx-") as name:
        directory = Path(name)
        config = directory / "nginx.conf"
        config.write_text(NGINX_CONF.format(directory=directory, port=port, keepalive_s=keepalive_s, upstream=upstream))
        log = directory / "out.log"
        words = (*inside(netns), "nginx", "-e", f"{directory}/error.log", "-c", str(config))
        with child(*words, log=log) as process:
            wait_for_port(netns, port, process, log)
            yield


@functools.cache
def classes() -> Path:
    """The compiled programs, in a temporary directory of this user. Later runs use it again."""
    target = Path(tempfile.mkdtemp(prefix="closetrace-classes-"))
    jars = [JARS / jar for jar in (*HTTPCLIENT_4, *HTTPCLIENT_3)] + [TOMCAT / "lib" / "servlet-api.jar"]
    sources = sorted(str(path) for path in PROGRAMS.glob("com/acme/*.java"))
    javac = ("javac", "-Xlint:all,-path", "-Werror", "-d", str(target), "-cp", ":".join(map(str, jars)))
    subprocess.run([str(JAVA_HOME / "bin" / javac[0]), *javac[1:], *sources], check=True)
    return target


def java(main: str, *arguments: str, jars: tuple[str, ...] = HTTPCLIENT_4) -> tuple[str, ...]:
    """The command that runs one of the programs."""
    path = [str(classes()), *(str(JARS / jar) for jar in jars)]
    return (str(JAVA_HOME / "bin" / "java"), "-cp", ":".join(path), f"com.acme.{main}", *arguments)


def program(netns: str, main: str, *arguments: str, jars: tuple[str, ...] = HTTPCLIENT_4) -> Workload:
    """Run one of the programs in the namespace. The test controls its steps."""
    return Workload(*inside(netns), *java(main, *arguments, jars=jars))


SERVER_XML = """<Server port="-1"><Service name="Catalina">
  <Connector address="127.0.0.1" port="{port}" protocol="HTTP/1.1" keepAliveTimeout="60000"/>
  <Engine name="Catalina" defaultHost="localhost"><Host name="localhost" appBase="webapps" autoDeploy="false"/></Engine>
</Service></Server>
"""
WEB_XML = """<web-app xmlns="https://jakarta.ee/xml/ns/jakartaee" version="6.0">
  <servlet><servlet-name>it</servlet-name><servlet-class>com.acme.{servlet}</servlet-class>
    <load-on-startup>1</load-on-startup></servlet>
  <servlet-mapping><servlet-name>it</servlet-name><url-pattern>/it</url-pattern></servlet-mapping>
</web-app>
"""


def _lay_out_tomcat(base: Path, port: int, servlet: str) -> None:
    """Make a CATALINA_BASE with one web application at /shop."""
    inf = base / "webapps" / "shop" / "WEB-INF"
    for directory in ("conf", "logs", "temp", "work"):
        (base / directory).mkdir()
    (inf / "lib").mkdir(parents=True)
    (base / "conf" / "server.xml").write_text(SERVER_XML.format(port=port))
    (inf / "web.xml").write_text(WEB_XML.format(servlet=servlet))
    shutil.copytree(classes(), inf / "classes")
    for jar in HTTPCLIENT_4:
        shutil.copy(JARS / jar, inf / "lib" / jar)


@contextmanager
def tomcat(netns: str, port: int, servlet: str, *properties: str) -> Iterator[int]:
    """Run Tomcat 10 with its own CATALINA_BASE and one servlet at /shop/it. Yields its pid."""
    with tempfile.TemporaryDirectory(prefix="closetrace-tomcat-") as name:
        base = Path(name)
        _lay_out_tomcat(base, port, servlet)
        boot = f"{TOMCAT}/bin/bootstrap.jar:{TOMCAT}/bin/tomcat-juli.jar"
        words = (
            *inside(netns),
            str(JAVA_HOME / "bin" / "java"),
            *properties,
            f"-Dcatalina.base={base}",
            f"-Dcatalina.home={TOMCAT}",
            f"-Djava.io.tmpdir={base}/temp",
            "-cp",
            boot,
            "org.apache.catalina.startup.Bootstrap",
            "start",
        )
        log = base / "logs" / "out.log"
        with child(*words, log=log) as process:
            wait_for_port(netns, port, process, log)
            yield process.pid


def fetch(netns: str, url: str, requests: int, at_once: int) -> None:
    """Send ``requests`` requests, ``at_once`` at a time. Each must be answered with 200."""
    script = (
        "import sys, urllib.request\n"
        "from concurrent.futures import ThreadPoolExecutor\n"
        "url, requests, at_once = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])\n"
        "with ThreadPoolExecutor(at_once) as pool:\n"
        "    codes = list(pool.map(lambda _: urllib.request.urlopen(url, timeout=30).status, range(requests)))\n"
        "sys.exit(set(codes) != {200})\n"
    )
    words = [*inside(netns), "python3", "-I", "-c", script, url, str(requests), str(at_once)]
    subprocess.run(words, check=True, timeout=120)


@dataclass(frozen=True)
class Packet:
    """One line of tcpdump: seconds since the epoch, both endpoints, flags as tcpdump writes them, bytes of data."""

    time: float
    source: str
    destination: str
    flags: str
    length: int


PACKET = re.compile(r"^(\d+\.\d+) IP (\S+)\.(\d+) > (\S+)\.(\d+): Flags \[([^]]*)\].* length (\d+)")


class Capture:
    """Runs tcpdump on the loopback of the namespace and reads its text."""

    def __init__(self, netns: str, port: int) -> None:
        self._file = tempfile.NamedTemporaryFile("r", prefix="closetrace-tcpdump-")
        words = [*inside(netns), "tcpdump", "-i", "lo", "-n", "-tt", "-l", "-U", "-S", "tcp", "port", str(port)]
        with open(self._file.name, "wb") as out:
            self._process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.PIPE)

    def __enter__(self) -> Capture:
        assert self._process.stderr is not None
        while b"listening" not in self._process.stderr.readline():
            assert self._process.poll() is None
        return self

    def __exit__(self, *_: object) -> None:
        if self._process.poll() is None:
            self._process.kill()
        self._process.communicate()
        self._file.close()

    def packets(self) -> list[Packet]:
        """End the capture and return all packets."""
        time.sleep(0.5)  # for the packets in the kernel's buffer
        self._process.send_signal(signal.SIGINT)
        self._process.wait(10)
        found = (PACKET.match(line) for line in Path(self._file.name).read_text().splitlines())
        return [
            Packet(float(m[1]), f"{m[2]}:{m[3]}", f"{m[4]}:{m[5]}", m[6], int(m[7])) for m in found if m is not None
        ]

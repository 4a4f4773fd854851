"""The cells' programs, one a library, and how they are built and started."""

from __future__ import annotations

import functools
import hashlib
import os
import subprocess
import tempfile
from pathlib import Path

from tests.live.closetrace_command import REPOSITORY

HERE = Path(__file__).resolve().parent
LIBRARIES = REPOSITORY / "build" / "advice"
COUNT = 3
"""Requests, or connections, of every program."""

_JARS = (
    "okhttp okio httpclient httpcore commons-logging commons-codec httpclient5 httpcore5 httpcore5-h2 slf4j-api"
    " slf4j-nop commons-httpclient HikariCP postgresql commons-dbcp2 commons-pool2 netty-common netty-buffer"
    " netty-transport netty-handler netty-resolver netty-codec"
)


def jars(names: str) -> str:
    """The class path of Debian's jars with these names."""
    return ":".join(f"/usr/share/java/{jar}.jar" for jar in names.split())


_CLASS_PATH = jars(_JARS)
_SMALL_JVM = ("-Xmx64m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1")
_C_FLAGS = ("-O2", "-Wall", "-Wextra", "-Werror", "-I/usr/include/postgresql")
_C_LIBRARIES = {"curl_client": "-lcurl", "libpq_client": "-lpq", "hiredis_client": "-lhiredis"}


def command(program: str) -> tuple[str, ...]:
    """The words that run a program; it is built first where it has to be."""
    name, kind = program.rsplit(".", 1)
    if kind == "py":
        return (str(LIBRARIES / "python" / "bin" / "python"), str(HERE / "python" / program))
    if kind == "js":
        return ("env", f"NODE_PATH={LIBRARIES / 'node' / 'node_modules'}", "node", str(HERE / "node" / program))
    if kind == "rb":
        return ("ruby", str(HERE / "ruby" / program))
    if kind == "java":
        return ("java", *_SMALL_JVM, "-cp", java_path(), name)
    return (str(_binary(program)),)


def _built(sources: list[Path], name: str, build: tuple[str, ...], environment: dict[str, str] | None = None) -> Path:
    """What ``build`` (``{}`` for the output) makes of the sources, cached by their contents."""
    digest = hashlib.sha256(" ".join(build).encode())
    for source in sources:
        digest.update(source.read_bytes())
    directory = Path(tempfile.gettempdir()) / f"closetrace-advice-{os.getuid()}" / digest.hexdigest()[:16]
    if not directory.exists():
        partial = Path(tempfile.mkdtemp(prefix="closetrace-advice-"))
        words = [word.replace("{}", str(partial / name)) for word in build]
        subprocess.run(words, check=True, env={**os.environ, **(environment or {})})
        directory.parent.mkdir(exist_ok=True)
        partial.rename(directory)
    return directory / name


@functools.cache
def _classes() -> Path:
    sources = sorted((HERE / "java").glob("*.java"))
    lint = ("-Xlint:all,-path,-classfile,-processing", "-Werror")
    return _built(sources, "classes", ("javac", *lint, "-d", "{}", "-cp", _CLASS_PATH, *map(str, sources)))


def java_path() -> str:
    """The class path of the Java programs with all libraries."""
    return f"{_classes()}:{_CLASS_PATH}"


def _binary(program: str) -> Path:
    name, kind = program.rsplit(".", 1)
    source = HERE / kind / program
    if kind == "go":
        return _built([source], name, ("go", "build", "-o", "{}", str(source)), {"GO111MODULE": "off"})
    build = ("gcc", *_C_FLAGS, "-o", "{}", str(source), _C_LIBRARIES[name])
    return _built([source, HERE / "c" / "led.h"], name, build)

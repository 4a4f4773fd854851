"""Files that somebody else chose: what is opened, and what is not."""

from __future__ import annotations

import fcntl
import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.present import present
from tracer.host import opening
from tracer.host.opening import open_below, open_linked, open_own, real_below


@pytest.fixture(params=["openat2", "walk"])
def root(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """A descriptor of a root with a file ``/etc/name`` of its own, by the call and by the walk without it."""
    if request.param == "walk":
        monkeypatch.setattr(opening, "_SYS_OPENAT2", 100_000)  # ENOSYS
    (tmp_path / "root/etc").mkdir(parents=True)
    (tmp_path / "root/etc/name").write_text("inside")
    (tmp_path / "secret").write_text("outside")
    descriptor = os.open(tmp_path / "root", os.O_PATH)
    yield descriptor
    os.close(descriptor)


def said(root: int, path: str, *, follow_links: bool = True) -> str | None:
    """The text of the file; None if it was not opened."""
    descriptor = open_below(root, path, follow_links=follow_links)
    if descriptor is None:
        return None
    with os.fdopen(descriptor) as file:
        return file.read()


@pytest.mark.parametrize("path", ["/etc/name", "etc/name", "//etc/./name", "/../etc/../../etc/name"])
def test_paths_begin_and_stay_at_the_root(root: int, path: str) -> None:
    """However a path is written, ``..`` does not lead out."""
    assert said(root, path) == "inside"


def test_links_are_resolved_within_the_root(root: int, tmp_path: Path) -> None:
    """An absolute link, and one with too many ``..``, mean what they mean to the process."""
    inside = tmp_path / "root"
    (inside / "absolute").symlink_to("/etc/name")
    (inside / "directory").symlink_to("/etc")
    (inside / "upwards").symlink_to("../../../etc/name")
    (inside / "out").symlink_to(tmp_path / "secret")
    (inside / "up").symlink_to("../secret")
    (inside / "loop").symlink_to("loop")
    assert [said(root, name) for name in ("absolute", "directory/name", "upwards")] == ["inside"] * 3
    assert [said(root, name) for name in ("out", "up", "loop", "missing")] == [None] * 4
    assert said(root, "directory/name", follow_links=False) == "inside"
    assert said(root, "absolute", follow_links=False) is None
    place = f"{inside.resolve()}/etc/name"
    assert [real_below(root, name) for name in ("absolute", "directory/name", "upwards", "etc/name")] == [place] * 4
    assert [real_below(root, name) for name in ("out", "up", "loop", "missing", "a\0", "a\ud800")] == [""] * 6


def test_nothing_but_regular_files(root: int, tmp_path: Path) -> None:
    """A FIFO, a socket, a directory, an empty file, a name that no file can have: not opened, nothing waits."""
    inside = tmp_path / "root"
    os.mkfifo(inside / "fifo")
    (inside / "empty").touch()
    server = socket.socket(socket.AF_UNIX)
    server.bind(str(inside / "socket"))
    assert [said(root, name) for name in ("fifo", "socket", "etc", "empty", "a\0b", "x" * 5000)] == [None] * 6
    server.close()


@pytest.mark.root
def test_devices_and_the_kernels_own_files_are_not_opened() -> None:
    """/proc/kmsg is "regular", and to read it consumes the kernel's log."""
    host = os.open("/", os.O_PATH)
    names = ["/proc/kmsg", "/proc/self/maps", "/sys/kernel/uevent_seqnum", "/dev/zero", "/proc/self/exe"]
    assert [open_below(host, name) for name in names] == [None] * len(names)
    os.close(host)


def test_an_endless_file_is_not_opened(root: int, tmp_path: Path) -> None:
    """A hole of 17 GB costs nothing to make."""
    with (tmp_path / "root/hole").open("wb") as file:
        file.truncate(17 << 30)
    assert open_below(root, "hole") is None


@pytest.mark.root
def test_a_lease_does_not_make_it_wait(root: int, tmp_path: Path) -> None:
    """open(2) waits up to lease-break-time for the holder of a lease."""
    before = signal.signal(signal.SIGIO, signal.SIG_IGN)
    with (tmp_path / "root/etc/name").open("r+") as file:
        fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_WRLCK)
        assert open_below(root, "/etc/name") is None
        fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    signal.signal(signal.SIGIO, before)


def test_own_files_that_are_no_secret(tmp_path: Path) -> None:
    """What is shown of the host's own files is what everybody may read."""
    path = tmp_path / "file"
    path.write_text("text")
    for mode, may in ((0o644, os.geteuid() == 0), (0o600, False)):
        path.chmod(mode)
        descriptor = open_own(str(path), public=True)
        assert (descriptor is not None) == may
        if descriptor is not None:
            os.close(descriptor)
    os.close(present(open_own(str(path))))


def test_a_program_by_its_magic_link() -> None:
    """/proc/PID/exe is a link that only the kernel can follow."""
    directory = os.open("/proc/self", os.O_PATH)
    descriptor = present(open_linked(directory, "exe"))
    assert os.path.samestat(os.fstat(descriptor), os.stat("/proc/self/exe"))
    assert open_linked(directory, "cwd") is None
    os.close(descriptor)
    os.close(directory)

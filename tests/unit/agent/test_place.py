"""Where an agent listens: one agent alone, and nobody else who could put a socket of his own there."""

from __future__ import annotations

import multiprocessing
import os
import socket
from multiprocessing.connection import Connection
from multiprocessing.synchronize import Barrier
from pathlib import Path

import pytest

from tracer.agent.place import Place, require_safe
from tracer.errors import UsageError

pytestmark = pytest.mark.root

AGENTS = 8


def _agent(path: str, barrier: Barrier, told: Connection) -> None:
    """Start at the same instant as the others. Keep the place until told to end."""
    barrier.wait()
    try:
        place = Place(path, "")
        place.listen()
    except UsageError as reason:
        told.send(str(reason))
        return
    told.send("")
    told.recv()
    place.close()


@pytest.mark.parametrize("left", [False, True])
def test_of_several_that_start_at_once_one_gets_the_place(tmp_path: Path, left: bool) -> None:
    """Also where one that was killed has left its socket. Who connects reaches that one."""
    path = str(tmp_path / "agent.sock")
    context = multiprocessing.get_context("spawn")
    barrier = context.Barrier(AGENTS)
    if left:
        with socket.socket(socket.AF_UNIX) as dead:
            dead.bind(path)
    pipes = [context.Pipe() for _ in range(AGENTS)]
    agents = [context.Process(target=_agent, args=(path, barrier, theirs)) for _, theirs in pipes]
    for agent in agents:
        agent.start()
    said = [ours.recv() for ours, _ in pipes]
    assert said.count("") == 1
    assert {one for one in said if one} == {f"--socket {path}: another agent listens there"}
    winner = said.index("")
    with socket.socket(socket.AF_UNIX) as line:
        line.connect(path)
    pipes[winner][0].send("end")
    for agent in agents:
        agent.join(30)
    assert os.listdir(tmp_path) == []


def test_a_lock_that_was_left_is_nobodys(tmp_path: Path) -> None:
    """The kernel lets go of it when a process is killed. One that another user has put there is told."""
    (tmp_path / "agent.sock.lock").touch()
    Place(str(tmp_path / "agent.sock"), "").close()
    assert os.listdir(tmp_path) == []
    (tmp_path / "agent.sock.lock").touch()
    os.chown(tmp_path / "agent.sock.lock", 65534, 65534)
    with pytest.raises(UsageError, match="another user's"):
        Place(str(tmp_path / "agent.sock"), "")


@pytest.fixture
def folders(tmp_path: Path) -> Path:
    """The folder a/b/c."""
    made = tmp_path / "a/b/c"
    made.mkdir(parents=True)
    return tmp_path


@pytest.mark.parametrize("above", ["a", "a/b", "a/b/c"])
@pytest.mark.parametrize("mode", [0o777, 0o775, 0o1777])
def test_each_folder_above_counts(folders: Path, above: str, mode: int) -> None:
    """Who can write in one of them can rename what is below. A sticky bit forbids that."""
    (folders / above).chmod(mode)
    path = str(folders / "a/b/c/agent.sock")
    if mode & 0o1000:
        Place(path, "").close()
        return
    with pytest.raises(UsageError, match=f"{folders / above} can be written by others than root"):
        Place(path, "")


def test_another_users_folder(folders: Path) -> None:
    """He can rename what is in it."""
    os.chown(folders / "a", 65534, 65534)
    with pytest.raises(UsageError, match="can be written by others"):
        Place(str(folders / "a/b/c/agent.sock"), "")


def test_links_lead_through_folders_that_count_as_well(folders: Path) -> None:
    """As /var/run does. Where a link leads is looked at, and whose the link is."""
    (folders / "d").mkdir()
    (folders / "d/link").symlink_to("../a/b")
    (folders / "absolute").symlink_to(folders / "d")
    path = str(folders / "absolute/link/c/agent.sock")
    require_safe(path)
    Place(path, "").close()
    (folders / "a").chmod(0o777)
    with pytest.raises(UsageError, match=f"{folders / 'a'} can be written"):
        require_safe(path)
    (folders / "a").chmod(0o755)
    (folders / "d").chmod(0o1777)
    os.chown(folders / "d/link", 65534, 65534, follow_symlinks=False)
    with pytest.raises(UsageError, match="link of another user"):
        require_safe(path)
    (folders / "round").symlink_to(folders / "round")
    with pytest.raises(UsageError, match="is a link"):
        require_safe(str(folders / "round/agent.sock"))


def test_a_path_that_is_too_long(tmp_path: Path) -> None:
    """The limit is told, and nothing is left."""
    with pytest.raises(UsageError, match="at most 107 bytes"):
        Place(str(tmp_path / ("x" * 107)), "")
    assert os.listdir(tmp_path) == []

"""The settings of a namespace, against sysctl(8)."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tracer.host.netns import NetnsUnreachable
from tracer.host.tcp_settings import port_list, tcp_settings


@pytest.fixture
def netns() -> Iterator[str]:
    """Make a network namespace; its name."""
    name = f"ct-settings-{os.getpid()}"
    subprocess.run(["ip", "netns", "add", name], check=True)
    try:
        yield name
    finally:
        subprocess.run(["ip", "netns", "del", name], check=True)


def sysctl(netns: str, *arguments: str) -> str:
    command = ["ip", "netns", "exec", netns, "sysctl", "-n", *arguments]
    return subprocess.check_output(command, text=True).strip()


@pytest.mark.root
def test_settings_of_another_namespace(netns: str) -> None:
    """What was set in a namespace is read from there, and this one's settings stay apart."""
    sysctl(netns, "-w", "net.ipv4.ip_local_port_range=20000 20099")
    sysctl(netns, "-w", "net.ipv4.ip_local_reserved_ports=20001,20005-20007")
    sysctl(netns, "-w", "net.ipv4.tcp_tw_reuse=1")
    sysctl(netns, "-w", "net.ipv4.tcp_timestamps=0")
    sysctl(netns, "-w", "net.ipv4.tcp_fin_timeout=17")
    found = tcp_settings(f"/run/netns/{netns}")
    assert (found.first_port, found.last_port) == (20000, 20099)
    assert found.reserved == {20001, 20005, 20006, 20007}
    assert (found.tw_reuse, found.timestamps, found.fin_timeout_s) == (1, False, 17)
    delay = Path("/proc/sys/net/ipv4/tcp_tw_reuse_delay")
    if delay.exists():
        sysctl(netns, "-w", "net.ipv4.tcp_tw_reuse_delay=2500")
    assert tcp_settings(f"/run/netns/{netns}").reuse_delay_ms == (2500 if delay.exists() else 1000)
    ours = tcp_settings()
    command = ["sysctl", "-n", "net.ipv4.ip_local_port_range"]
    assert [ours.first_port, ours.last_port] == [int(word) for word in subprocess.check_output(command).split()]


def test_unreachable() -> None:
    """A namespace that is not there gives the typed error."""
    with pytest.raises(NetnsUnreachable, match="/run/netns/none-such"):
        tcp_settings("/run/netns/none-such")


def test_port_list_is_bounded() -> None:
    """An empty list, blanks and an absurd range are all read; what is no list is refused."""
    assert port_list("\n") == frozenset()
    assert port_list("1-3, 7\n") == {1, 2, 3, 7}
    assert len(port_list("1-99999999999")) == 65535
    with pytest.raises(ValueError, match="x"):
        port_list("x")

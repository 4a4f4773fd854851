"""Who tells the names of pods, by what a configuration says."""

from __future__ import annotations

from importlib.util import find_spec

from tracer.errors import UsageError
from tracer.host.podnames import LogFolders, PodNames

FROM_LOGS, OFF = "logs", "off"


def check_pod_names(where: str) -> None:
    """Raises UsageError unless :func:`pod_names` can do what ``where`` says."""
    if where in (FROM_LOGS, OFF):
        return
    if not where.startswith("/"):
        raise UsageError(f"--pod-names {where}: give {FROM_LOGS}, {OFF}, or the path of a container runtime's socket")
    if find_spec("grpc") is None:
        raise UsageError(
            f"--pod-names {where} needs gRPC's library: pip install 'closetrace[cri]', or Debian's python3-grpcio"
        )


def pod_names(where: str) -> PodNames:
    """``where`` is "logs" for the folders of the kubelet's logs; the path of a runtime's socket, which is asked where
    these tell nothing; or "off".
    """
    if where == OFF:
        return PodNames()
    if where == FROM_LOGS:
        return PodNames(LogFolders())
    from tracer.host.cri import Runtime

    return PodNames(LogFolders(), Runtime(where))

"""Where a process belongs: its systemd unit, its container, its pod."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, order=True)
class Identity:
    """Each is empty if there is none, or it is not known.

    ``container`` is the whole id, ``pod`` the uid of a Kubernetes pod. ``namespace``, ``pod_name`` and
    ``container_name`` are what Kubernetes calls them.
    """

    unit: str = ""
    container: str = ""
    pod: str = ""
    namespace: str = ""
    pod_name: str = ""
    container_name: str = ""

    def any(self) -> bool:
        """Whether anything is known."""
        return bool(self.unit or self.container or self.pod)


NOBODY = Identity()

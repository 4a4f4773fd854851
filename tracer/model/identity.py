"""Where a process belongs: its systemd unit, its container, its pod."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, order=True)
class Identity:
    """Each is empty if there is none. ``container`` is the whole id, ``pod`` the uid of a Kubernetes pod."""

    unit: str = ""
    container: str = ""
    pod: str = ""

    def any(self) -> bool:
        """Whether anything is known."""
        return bool(self.unit or self.container or self.pod)


NOBODY = Identity()

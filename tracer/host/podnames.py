"""What Kubernetes calls a container and its pod: read from the names that the kubelet gives to its log files.

``/var/log/pods/NAMESPACE_POD_UID`` is a pod's folder, ``/var/log/containers/POD_NAMESPACE_CONTAINER-ID.log`` a link
to the log of a container (BuildPodLogsDirectory and legacyLogSymlink in the kubelet's pkg/kubelet/kuberuntime). The
runtime's id and the uid are what the names of cgroups have, too. No server is asked, and only root can write there. A
name counts only if it has the form that Kubernetes demands (RFC 1123).
"""

from __future__ import annotations

import os
import re
import time
from dataclasses import replace
from itertools import islice
from typing import Callable, NamedTuple, Optional, Protocol

from tracer.host.belonging import UID
from tracer.model.identity import Identity

LOGS = "/var/log"
_MOST_FILES = 16_384
_MOST_KNOWN = 4096
_SURELY_NS = 2_000_000_000
"""A folder that changed less than that ago may change again at the same time: file systems' clocks tick."""
_LABEL = r"[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?"
_SUBDOMAIN = r"[a-z0-9](?:[-.a-z0-9]{0,251}[a-z0-9])?"
_IS_LABEL, _IS_SUBDOMAIN = re.compile(_LABEL), re.compile(_SUBDOMAIN)
_POD = re.compile(rf"({_LABEL})_({_SUBDOMAIN})_({UID})")
_CONTAINER = re.compile(rf"({_SUBDOMAIN})_({_LABEL})_({_LABEL})-([0-9a-f]{{64}})\.log")


class Names(NamedTuple):
    """Of a container, or, without ``container``, of a pod."""

    namespace: str
    pod: str
    container: str = ""


class Source(Protocol):
    """Tells names."""

    def container(self, key: str) -> Optional[Names]:
        """Those of the container with this id."""

    def pod(self, uid: str) -> Optional[Names]:
        """Those of the pod with this uid."""

    def close(self) -> None:
        """Ask nobody any more."""


def checked(namespace: str, pod: str, container: str) -> Optional[Names]:
    """The names, if Kubernetes allows them. ``container`` may be empty."""
    right = _IS_LABEL.fullmatch(namespace) and _IS_SUBDOMAIN.fullmatch(pod)
    return Names(namespace, pod, container) if right and _IS_LABEL.fullmatch(container or "none") else None


class PodNames:
    """Adds names to identities, from the first of the ``sources`` that knows them. What was found is kept."""

    def __init__(self, *sources: Source) -> None:
        self._sources = sources
        self._known: dict[Identity, Identity] = {}

    def named(self, identity: Identity) -> Identity:
        """The same with names, as far as they are known. Only what the kubelet made has any."""
        if not identity.pod:
            return identity
        found = self._known.get(identity)
        if found is None:
            found = self._look(identity)
            if bool(found.container) == bool(found.container_name) and found.pod_name:
                self._keep(identity, found)
        return found

    def _look(self, identity: Identity) -> Identity:
        for source in self._sources:
            if identity.container and (names := source.container(identity.container)):
                return replace(identity, namespace=names.namespace, pod_name=names.pod, container_name=names.container)
        for source in self._sources:  # the container that holds a pod's namespaces has no name
            if names := source.pod(identity.pod):
                return replace(identity, namespace=names.namespace, pod_name=names.pod)
        return identity

    def _keep(self, identity: Identity, found: Identity) -> None:
        self._known[identity] = found
        if len(self._known) > _MOST_KNOWN:
            del self._known[next(iter(self._known))]

    def close(self) -> None:
        """Ask nobody any more."""
        for source in self._sources:
            source.close()


class LogFolders:
    """Names from the folders of the kubelet's logs, which are below ``root``."""

    def __init__(self, root: str = LOGS) -> None:
        self._pods = _Folder(os.path.join(root, "pods"), _pod_of)
        self._containers = _Folder(os.path.join(root, "containers"), _container_of)

    def container(self, key: str) -> Optional[Names]:
        """Those of the container with this id."""
        return self._containers.get(key)

    def pod(self, uid: str) -> Optional[Names]:
        """Those of the pod with this uid."""
        return self._pods.get(uid)

    def close(self) -> None:
        """Nothing is open."""


def _pod_of(name: str) -> Optional[tuple[str, Names]]:
    match = _POD.fullmatch(name)
    return (match[3], Names(match[1], match[2])) if match else None


def _container_of(name: str) -> Optional[tuple[str, Names]]:
    match = _CONTAINER.fullmatch(name)
    return (match[4], Names(match[2], match[1], match[3])) if match else None


class _Folder:
    """What the names in a folder tell. It is read again when it has changed and something is not found."""

    def __init__(self, path: str, parse: Callable[[str], Optional[tuple[str, Names]]]) -> None:
        self._path, self._parse = path, parse
        self._read_at: Optional[tuple[int, int]] = None
        self._found: dict[str, Names] = {}

    def get(self, key: str) -> Optional[Names]:
        if key not in self._found:
            self._look()
        return self._found.get(key)

    def _look(self) -> None:
        try:
            stat = os.stat(self._path)
            if (stat.st_ino, stat.st_mtime_ns) == self._read_at:
                return
            with os.scandir(self._path) as entries:
                names = [entry.name for entry in islice(entries, _MOST_FILES)]
        except OSError:
            return
        self._found = dict(filter(None, map(self._parse, names)))
        settled = time.time_ns() - stat.st_mtime_ns > _SURELY_NS
        self._read_at = (stat.st_ino, stat.st_mtime_ns) if settled else None

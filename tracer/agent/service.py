"""The agent: a session without end, a socket to ask it at, exporters, and a configuration that can change."""

from __future__ import annotations

import os
import time
from dataclasses import replace
from typing import Callable, Union

from tracer.agent.answering import answer
from tracer.agent.listener import Answer, Listener
from tracer.agent.notify import Notifier
from tracer.agent.protocol import Question, Refusal
from tracer.agent.publishing import Publisher, open_exporters
from tracer.agent.settings import Settings
from tracer.agent.stopping import AgentStop
from tracer.errors import ClosetraceError, UsageError
from tracer.host import cgroups
from tracer.model.finding import Tick
from tracer.session.session import Session

Say = Callable[[str], None]
_CGROUP_S = 10.0
"""How often to look whether the cgroup is another one: to begin anew costs seconds, and a unit may restart often."""


class Agent:
    """``reread`` gives the settings as they are now, or raises ClosetraceError. ``say`` writes a line to the log."""

    def __init__(self, settings: Settings, reread: Callable[[], Settings], say: Say) -> None:
        self._settings, self._reread, self._say = settings, reread, say
        self._notifier = Notifier(os.environ)
        self._stop = AgentStop(self._serve, self._reload)
        self._next_cgroup = 0.0

    def run(self) -> None:
        """Record until a signal ends it. Raises HostUnsupported, UsageError, and what an exporter raises."""
        self._session = self._opened()
        try:
            self._publisher = Publisher(open_exporters(self._settings), self._settings.every_s)
            try:
                self._listen_and_record()
            finally:
                self._publisher.close()
        finally:
            self._session.close()

    def _opened(self) -> Session:
        """A session for these settings. The service manager hears that it is worked on, as a compiler takes seconds."""
        return Session(replace(self._settings.request, waiting=self._notifier.busy))

    def _listen_and_record(self) -> None:
        self._listener = self._listen(self._settings)
        try:
            self._record()
        finally:
            self._listener.close()

    def _listen(self, settings: Settings) -> Listener:
        return Listener(settings.socket, settings.group, lambda: self._session.started, self._answer)

    def _record(self) -> None:
        self._ready("records")
        while not self._stop.asked:
            self._stop.reopens = False
            self._session.follow(self._stop, self._looked)
            if not self._stop.asked:
                self._open_anew()
        self._notifier.stopping()

    def _ready(self, what: str) -> None:
        target = self._settings.request.target
        self._notifier.ready(f"{what} {target}")
        self._say(f"{what} {target}; answers at {self._settings.socket}")

    def _looked(self, _tick: Tick) -> None:
        self._notifier.alive()
        self._follow_cgroup()
        self._publisher.look(self._session.summary)

    def _follow_cgroup(self) -> None:
        """A unit that restarts has a new cgroup at the same path, which the kernel side does not know: begin anew."""
        scope, now = self._settings.request.scope, time.monotonic()
        if not scope.cgroup_path or now < self._next_cgroup:
            return
        self._next_cgroup = now + _CGROUP_S
        try:
            found, _path = cgroups.find(scope.cgroup_path)
        except cgroups.NoCgroup:
            return  # it has ended, and may come again
        if found != scope.cgroup:
            request = replace(self._settings.request, scope=replace(scope, cgroup=found))
            self._settings = replace(self._settings, request=request)
            self._stop.reopens = True

    def _serve(self, seconds: float) -> None:
        self._notifier.alive()
        self._listener.serve(seconds)

    def _answer(self, question: Question) -> Union[Answer, Refusal]:
        return answer(question, self._session, self._settings.request.scope)

    def _reload(self) -> None:
        """Take over what has changed. What is wrong is told, and all stays as it was."""
        self._notifier.reloading()
        try:
            settings = self._reread()
            self._change(settings)
        except ClosetraceError as reason:
            self._say(f"the configuration stays as it was: {reason}")
            self._notifier.ready(f"records {self._settings.request.target}")
            return
        if not self._stop.reopens:
            self._ready("goes on to record")

    def _change(self, settings: Settings) -> None:
        before = self._settings
        listens_anew = (settings.socket, settings.group) != (before.socket, before.group)
        if listens_anew:
            self._listen_at(settings, before)
        if not settings.publishes_as(before):
            try:
                self._publish_to(settings, before)
            except ClosetraceError:
                if listens_anew:
                    self._listen_at(before, settings)
                raise
        self._publisher.every_s = settings.every_s
        self._settings = settings
        if not settings.records_as(before):
            self._stop.reopens = True
            return
        if settings.request.pod_names != before.request.pod_names:
            self._session.name_pods(settings.request.pod_names)
        if settings.request.max_overhead is not None:
            self._session.limit(settings.request.max_overhead)

    def _publish_to(self, settings: Settings, before: Settings) -> None:
        """Publish as these settings say; if that cannot be, as before. Raises ClosetraceError."""
        self._publisher.close()
        try:
            self._publisher = Publisher(open_exporters(settings), settings.every_s)
        except ClosetraceError:
            self._publisher = Publisher(open_exporters(before), before.every_s)
            raise

    def _listen_at(self, settings: Settings, before: Settings) -> None:
        """Listen as these settings say; if that cannot be, as before. Raises UsageError."""
        self._listener.close()
        try:
            self._listener = self._listen(settings)
        except UsageError:
            self._listener = self._listen(before)
            raise

    def _open_anew(self) -> None:
        """End the session and begin another. Recording has a gap as long as that takes."""
        self._session.close()
        self._session = self._opened()
        self._ready("begins anew to record")

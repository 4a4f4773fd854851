"""The agent: a session without end, a socket to ask it at, exporters, and a configuration that can change."""

from __future__ import annotations

import contextlib
import os
from dataclasses import replace
from functools import partial
from typing import Callable, Optional, Union

from tracer.agent.answering import answer
from tracer.agent.listener import Answer, Listener
from tracer.agent.notify import Notifier
from tracer.agent.place import Place
from tracer.agent.protocol import Question, Refusal
from tracer.agent.publishing import Publisher, addresses
from tracer.agent.renewal import Renewal
from tracer.agent.settings import Settings
from tracer.agent.stopping import AgentStop
from tracer.errors import ClosetraceError
from tracer.host import groups
from tracer.host.allocator import spare_memory
from tracer.model.finding import Tick
from tracer.model.scope import Scope
from tracer.session.session import Session
from tracer.underway import Underway

Say = Callable[[str], None]


class _Working(Underway):
    """Calls ``alive`` on the way through the sockets of a look or a report: many take long on a busy host."""

    def __init__(self, alive: Callable[[], None]) -> None:
        self._alive = alive

    def begin(self, what: str, total: int = 0) -> None:  # noqa: ARG002
        """Say that it goes on."""
        self._alive()

    def at(self, done: int) -> None:  # noqa: ARG002
        """Say that it goes on."""
        self._alive()


class Agent:
    """``reread`` gives the settings as they are now, or raises ClosetraceError. ``say`` writes a line to the log."""

    def __init__(self, settings: Settings, reread: Callable[[], Settings], say: Say) -> None:
        self._settings, self._reread, self._say = settings, reread, say
        self._notifier = Notifier(os.environ)
        self._stop = AgentStop(self._serve, self._reload)

    def run(self) -> None:
        """Record until a signal ends it. Raises HostUnsupported, UsageError, and what an exporter raises.

        What a person may have got wrong is opened first: the kernel side takes seconds.
        """
        spare_memory()
        with contextlib.ExitStack() as opened:
            place = Place(self._settings.socket, self._settings.group)
            opened.callback(place.close)
            self._publisher = Publisher(addresses(self._settings), self._settings.every_s, self._say)
            opened.callback(self._publisher.close)
            self._session = self._opened()
            opened.callback(lambda: self._session.close())
            self._listener = self._listen(place)
            opened.callback(lambda: self._listener.close())
            self._record()

    def _opened(self) -> Session:
        """A session for these settings. The service manager hears of all work that may take long."""
        settings, notifier = self._settings, self._notifier
        session = Session(replace(settings.request, waiting=notifier.busy, underway=_Working(notifier.alive)))
        named = bool(settings.unit or settings.container)
        find = partial(groups.find, settings.unit, settings.container) if named else None
        self._renewal = Renewal(settings.request.scope, find)
        self._recording = settings.request
        return session

    def _listen(self, place: Place) -> Listener:
        try:
            return Listener(place, lambda: self._session.started, self._answer)
        except BaseException:
            place.close()
            raise

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
        self._renew(self._renewal.look(self._session.members))
        self._publisher.look(self._session.summary)

    def _renew(self, scope: Optional[Scope]) -> None:
        """What is recorded has restarted. The kernel side knows what was there before: begin anew."""
        if scope is not None:
            self._settings = replace(self._settings, request=replace(self._settings.request, scope=scope))
            self._stop.reopens = True

    def _serve(self, seconds: float, wakes: Optional[int]) -> bool:
        self._notifier.alive()
        return self._listener.serve(seconds, wakes)

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
        """Raises ClosetraceError, and then nothing has changed."""
        before, listener = self._settings, self._listener
        self._listen_as(settings)
        try:
            self._publisher.change(addresses(settings))
        except ClosetraceError:
            self._listen_again(listener, before)
            raise
        if self._listener is not listener:
            listener.close()
        self._publisher.every_s = settings.every_s
        self._settings = settings
        if not settings.records_as(before):
            self._stop.reopens = True
            return
        if settings.request.pod_names != before.request.pod_names:
            self._session.name_pods(settings.request.pod_names)
        if settings.request.max_overhead is not None:
            self._session.limit(settings.request.max_overhead)

    def _listen_as(self, settings: Settings) -> None:
        """Listen as these settings say; at another place in addition to the one before. Raises UsageError."""
        if settings.socket != self._settings.socket:
            self._listener = self._listen(Place(settings.socket, settings.group))
        elif settings.group != self._settings.group:
            self._listener.give_to(settings.group)

    def _listen_again(self, listener: Listener, before: Settings) -> None:
        """Take that back."""
        if self._listener is not listener:
            self._listener.close()
            self._listener = listener
        else:
            with contextlib.suppress(ClosetraceError):  # that group is not there any more
                listener.give_to(before.group)

    def _open_anew(self) -> None:
        """End the session and begin another. Recording has a gap as long as that takes. Raises HostUnsupported."""
        self._session.close()
        recorded = self._recording
        try:
            self._session = self._opened()
        except ClosetraceError as reason:
            if recorded == self._settings.request:
                raise
            self._say(f"cannot record {self._settings.request.target}, records as before: {reason}")
            self._settings = replace(self._settings, request=recorded)
            self._session = self._opened()
        self._ready("begins anew to record")

"""The unix socket at which an agent is asked. Whoever is slow is dropped, never waited for.

A thread of its own greets, hears questions and sends answers. The session's thread finds the answers, while it rests.
So an agent greets at once also while it reads stacks, and sending a long answer does not hold up what is recorded.
"""

from __future__ import annotations

import contextlib
import selectors
import socket
import struct
import threading
import time
from collections import deque
from collections.abc import Iterator
from typing import Callable, Optional, Union

from tracer.agent.place import Place
from tracer.agent.protocol import (
    MOST_BYTES,
    About,
    Greeting,
    NoQuestion,
    Question,
    Refusal,
    answer_line,
    chunk,
    question_from,
)
from tracer.errors import ClosetraceError
from tracer.pieces import some
from tracer.trail import Trail
from tracer.waiting import wait_for

_log = Trail(__name__)

_MOST_CLIENTS = 8
_AT_ONCE = 16
"""Connections that are accepted before anything else is done."""
_ASK_S, _READ_S, _LONGEST_S = 1.0, 5.0, 60.0
"""How long a client may take to ask, to take the next bytes of its answer, and to take all of it."""
_LOOK_S = 0.1
"""How often to look for clients that take too long."""
_BUFFER = 256 << 10
"""Bytes of an answer that wait for a client."""
_AT_ONCE = 32 << 10
"""So many characters are made of an answer before it is looked at the time."""
_CHUNK = 1 << 20
"""Characters that are sent with one length: who asks takes no more than 16 MB at once."""
_PIECES_S = 0.02
"""How long pieces of one answer are made at a time."""
_SHARE = 3
"""After an answer that took a second to find, the next one waits this many seconds: what is recorded goes first."""
_MOST_TOLD, _STALLED_S, _CROWDED_S = 2, 0.5, 5.0
"""Answers that wait for their readers at a time: each keeps a whole report. While others wait for theirs, one gives way
of which nothing was taken for so long, or that is read for longer than this in all."""
_SO_PEERGROUPS, _GROUPS_BYTES = 59, 1024
_CREDENTIALS = struct.Struct("3i")

Answer = tuple[About, Iterator[str]]
Answerer = Callable[[Question], Union[Answer, Refusal]]


class _Client:
    def __init__(self, line: socket.socket) -> None:
        self.line = line
        self.begun = self.moved = time.monotonic()
        self.asked = bytearray()
        self.question: Optional[Question] = None
        self.buffer = bytearray()
        self.pieces: Optional[Iterator[str]] = None
        self.finished = self.gone = False
        self.told = float("inf")
        """When its answer was known."""

    def is_late(self, now: float) -> bool:
        """Whether it has taken longer than it may."""
        if self.question is None and not self.finished:
            return now - self.begun > _ASK_S
        return now - self.begun > _LONGEST_S or self._stalls(now, _READ_S)

    def gives_way(self, now: float) -> bool:
        """Whether it is to be left for another one's sake."""
        return self._stalls(now, _STALLED_S) or now - self.told > _CROWDED_S

    def _stalls(self, now: float, seconds: float) -> bool:
        """Whether it has taken nothing for so long. What was sent last may just have filled the kernel's buffer."""
        return (bool(self.buffer) or self.pieces is not None) and now - self.moved > seconds

    def fill(self) -> None:
        """Make more of its answer, as much as may wait for it."""
        until = time.monotonic() + _PIECES_S
        while self.pieces is not None and len(self.buffer) < _BUFFER and time.monotonic() < until:
            text = some(self.pieces, _AT_ONCE)
            for begin in range(0, len(text), _CHUNK):
                self.buffer += chunk(text[begin : begin + _CHUNK].encode(errors="backslashreplace"))
            if not text:
                self.buffer += chunk(b"")
                self.pieces, self.finished = None, True


class Listener:
    """Hears questions at ``place`` from its construction on, and closes that in the end. Raises UsageError."""

    def __init__(self, place: Place, since: Callable[[], float], answer: Answerer) -> None:
        """``since`` tells when recording began; ``answer`` answers a question, with the text in pieces."""
        self._since, self._answer = since, answer
        self._clients: dict[int, _Client] = {}
        self._selector = selectors.DefaultSelector()
        self._not_before = 0.0
        self._asked: deque[_Client] = deque()
        self._told: set[_Client] = set()
        """Those whose answers are not read yet."""
        self._changing = threading.Lock()
        self._heard, self._telling = socket.socketpair()
        for end in (self._heard, self._telling):
            end.setblocking(False)
        self._found: deque[tuple[_Client, Union[Answer, Refusal]]] = deque()
        self._place = place
        place.listen()
        self._woken, self._waking = socket.socketpair()
        self._woken.setblocking(False)
        self._selector.register(self._place.socket, selectors.EVENT_READ)
        self._selector.register(self._woken, selectors.EVENT_READ)
        self.refused = 0
        """Connections that were turned away or dropped."""
        self._ends = False
        self._thread = threading.Thread(target=self._run, name="closetrace-asked", daemon=True)
        self._thread.start()

    def serve(self, seconds: float, wakes: Optional[int] = None) -> bool:
        """Find answers for so long, and until the one that was begun is known. In the session's thread.

        Comes back earlier, with True, when the descriptor ``wakes`` can be read.
        """
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            pause = self._not_before - time.monotonic()
            client = self._next() if pause <= 0 else None
            if client is not None and client.question is not None:
                found = self._find(client.question)
                with self._changing:
                    if not client.gone and not isinstance(found, Refusal):
                        self._told.add(client)
                self._found.append((client, found))
                self._waking.send(b"f")
            elif self._rest(min(pause, left) if pause > 0 else left, wakes, hears=pause <= 0):
                return True
        return False

    def _rest(self, seconds: float, wakes: Optional[int], *, hears: bool) -> bool:
        """Until ``wakes`` can be read (then True), or something may be there for ``_next``, if it ``hears``."""
        return wait_for(seconds, wakes, *([self._heard.fileno()] if hears else []))

    def _next(self) -> Optional[_Client]:
        """Whose question is to be answered next; None if nobody has asked, or too many answers are not read yet."""
        with contextlib.suppress(BlockingIOError):
            self._heard.recv(4096)
        with self._changing:
            ready = self._asked and len(self._told) < _MOST_TOLD
            return self._asked.popleft() if ready else None

    def _notify(self) -> None:
        """Have the session's thread look whether it can answer somebody."""
        with contextlib.suppress(BlockingIOError):  # it is full of such words that were not read yet
            self._telling.send(b"q")

    def give_to(self, group: str) -> None:
        """From now on this group may ask beside root, in place of the one before. Raises UsageError."""
        self._place.give_to(group)

    def close(self) -> None:
        """Drop all clients and remove the socket, if it is still this one. It may be called again."""
        if self._ends:
            return
        self._ends = True
        self._waking.send(b"e")
        self._thread.join()
        for client in list(self._clients.values()):
            self._drop(client)
        self._selector.close()
        for one in (self._woken, self._waking, self._heard, self._telling):
            one.close()
        self._place.close()

    def _run(self) -> None:
        while not self._ends:
            for key, events in self._selector.select(_LOOK_S if self._clients else None):
                if key.fileobj is self._place.socket:
                    self._accept()
                elif key.fileobj is self._woken:
                    self._woken.recv(4096)
                else:
                    self._move(key.data, events)
            while self._found:
                self._take(*self._found.popleft())
            self._drop_late()

    def _accept(self) -> None:
        for _ in range(_AT_ONCE):
            try:
                line, _address = self._place.socket.accept()
            except BlockingIOError:
                return
            except OSError:  # no descriptor is free: whoever waits would be met again at once, for ever
                time.sleep(_LOOK_S)
                return
            line.setblocking(False)
            if not self._may_ask(line):
                self._turn_away(line, Refusal("denied", "you may not ask it"))
            elif not self._has_room():
                self._turn_away(line, Refusal("busy", "it answers others"))
            else:
                client = _Client(line)
                self._clients[line.fileno()] = client
                self._selector.register(line, selectors.EVENT_READ, client)

    def _turn_away(self, line: socket.socket, refusal: Refusal) -> None:
        self.refused += 1
        with contextlib.suppress(OSError), line:
            line.send(answer_line(refusal), socket.MSG_NOSIGNAL)

    def _has_room(self) -> bool:
        """Whether there is room for one more; who has not asked yet gives way."""
        if len(self._clients) >= _MOST_CLIENTS:
            silent = next((client for client in self._clients.values() if client.question is None), None)
            if silent is None:
                return False
            self.refused += 1
            self._drop(silent)
        return True

    def _may_ask(self, line: socket.socket) -> bool:
        """root, or a member of the group (SO_PEERCRED, SO_PEERGROUPS in socket(7))."""
        ours = self._place.gid
        try:
            _pid, uid, gid = _CREDENTIALS.unpack(line.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
            if uid == 0 or ours is None or ours == gid:
                return uid == 0 or ours is not None
            several = line.getsockopt(socket.SOL_SOCKET, _SO_PEERGROUPS, _GROUPS_BYTES)
        except OSError:
            return False
        return ours in struct.unpack(f"{len(several) // 4}i", several)

    def _move(self, client: _Client, events: int) -> None:
        try:
            if events & selectors.EVENT_READ:
                self._hear(client)
            if events & selectors.EVENT_WRITE and not client.gone:
                self._tell(client)
        except Exception as error:  # whatever it is, it must not end the thread: others are to be answered
            self._give_up(client, error)

    def _hear(self, client: _Client) -> None:
        if client.gone:
            return
        data = client.line.recv(MOST_BYTES)
        if not data or client.question is not None or client.finished:
            self._drop(client)  # it has gone, or says more than it was asked for
            return
        client.asked += data
        if b"\n" not in client.asked:
            if len(client.asked) > MOST_BYTES:
                self._refuse(client, Refusal("question", f"a question has at most {MOST_BYTES} bytes"))
            return
        try:
            client.question = question_from(bytes(client.asked[: MOST_BYTES + 1]).partition(b"\n")[0])
        except NoQuestion as reason:
            self._refuse(client, Refusal("question", str(reason)))
            return
        client.buffer += answer_line(Greeting(self._since()))
        client.moved = time.monotonic()
        self._tell(client)
        with self._changing:
            self._asked.append(client)
        self._notify()

    def _refuse(self, client: _Client, refusal: Refusal) -> None:
        self.refused += 1
        client.buffer += answer_line(refusal)
        client.finished = True
        self._tell(client)

    def _tell(self, client: _Client) -> None:
        client.fill()
        if client.buffer:
            with contextlib.suppress(BlockingIOError):
                sent = client.line.send(client.buffer, socket.MSG_NOSIGNAL)
                del client.buffer[:sent]
                client.moved = time.monotonic()
        if client.finished:
            self._forget_answer(client)
            if not client.buffer:
                self._drop(client)
                return
        more = bool(client.buffer) or client.pieces is not None
        self._selector.modify(client.line, selectors.EVENT_READ | (selectors.EVENT_WRITE if more else 0), client)

    def _forget_answer(self, client: _Client) -> None:
        """Its report is not needed any more: there is room for another one."""
        with self._changing:
            self._told.discard(client)
        self._notify()

    def _drop_late(self) -> None:
        now = time.monotonic()
        late = [client for client in self._clients.values() if client.is_late(now)]
        with self._changing:
            if self._asked and len(self._told) >= _MOST_TOLD and not late:
                late = [client for client in self._told if client.gives_way(now)]
                late = sorted(late, key=lambda client: client.moved)[:1]
        for client in late:
            self.refused += 1
            self._drop(client)

    def _drop(self, client: _Client) -> None:
        if not client.gone:
            client.gone, client.pieces = True, None
            self._forget_answer(client)
            with self._changing, contextlib.suppress(ValueError):
                self._asked.remove(client)  # who asks and goes, again and again, leaves nothing
            self._selector.unregister(client.line)
            del self._clients[client.line.fileno()]
            client.line.close()

    def _give_up(self, client: _Client, error: Exception) -> None:
        if not isinstance(error, OSError):
            _log.debug("an answer could not be written: %r", error)
        self._drop(client)

    def _find(self, question: Question) -> Union[Answer, Refusal]:
        begun = time.monotonic()
        try:
            found = self._answer(question)
        except ClosetraceError as reason:
            found = Refusal("question", str(reason))
        except Exception as error:  # whatever somebody asks, recording goes on
            _log.debug("a question could not be answered: %r", error)
            found = Refusal("question", "it cannot answer that")
        ended = time.monotonic()
        self._not_before = ended + _SHARE * (ended - begun)
        _log.debug("the answer to a question was found in %.0f ms", (ended - begun) * 1e3)
        return found

    def _take(self, client: _Client, found: Union[Answer, Refusal]) -> None:
        """Begin to send an answer that was found."""
        if client.gone:
            return
        client.moved = client.told = time.monotonic()
        if isinstance(found, Refusal):
            client.buffer += answer_line(found)
            client.finished = True
        else:
            client.buffer += answer_line(found[0])
            client.pieces = found[1]
        try:
            self._tell(client)
        except Exception as error:
            self._give_up(client, error)

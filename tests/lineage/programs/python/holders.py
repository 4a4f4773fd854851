"""Holds sockets in many ways, and says by local port in which. Words: the port to connect to, how much garbage to make.

Runs on any Python 3 and needs nothing but its standard library.
"""

import asyncio
import collections
import functools
import gc
import queue
import socket
import ssl
import sys
import threading
import time

PEER = int(sys.argv[1])
KINDS = {}


def connect(kind):
    """A socket of this kind, which is said at once."""
    made = socket.create_connection(("127.0.0.1", PEER))
    KINDS[made.getsockname()[1]] = kind
    return made


class Session:
    def __init__(self, sock):
        self.sock = sock


class Registry:
    def __init__(self):
        self.sessions = {}
        self.pool = queue.LifoQueue()


class Slotted:
    __slots__ = ("before", "conn")

    def __init__(self, conn):
        self.before, self.conn = None, conn


class Shared:
    conn = None


class Wide:
    """With more attributes than fit into the object: they are in its dict."""

    def __init__(self, sock):
        for number in range(40):
            setattr(self, "part%d" % number, number)
        self.sock = sock


registry = Registry()
plain = Session(connect("attribute"))
for number in range(2000):
    registry.sessions["user %d" % number] = None
registry.sessions["user 7"] = Session(connect("dict"))
registry.pool.put(Session(connect("queue")))
waiting = collections.deque([None] * 100)
for _ in range(90):
    waiting.popleft()
waiting.append(connect("deque"))
many = [None] * 3000
many[2345] = connect("list")
pairs = (1, (2, connect("tuple")))
chosen = {Session(connect("set"))}
slotted = Slotted(connect("slots"))
Shared.conn = connect("class")
wide = Wide(connect("dictionary"))
callbacks = [connect("method").close]
partial = functools.partial(print, connect("partial"))
reader = connect("makefile").makefile("rb")
local = threading.local()
local.conn = connect("thread-local")
nested = connect("nested")
for _ in range(300):
    nested = [nested]


def make():
    conn = connect("closure")

    def send():
        return conn

    return send


def produce():
    conn = connect("generator")
    yield 1
    yield conn


def work():
    conn = connect("variable")
    DONE.put("variable")
    threading.Event().wait()
    conn.close()


def secure():
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    plain = connect("ssl")
    return context.wrap_socket(plain, do_handshake_on_connect=False)


async def hold():
    reader, writer = await asyncio.open_connection("127.0.0.1", PEER)
    KINDS[writer.get_extra_info("sockname")[1]] = "task"
    DONE.put("task")
    del reader
    await asyncio.Event().wait()
    writer.close()


async def keep():
    reader, writer = await asyncio.open_connection("127.0.0.1", PEER)
    KINDS[writer.get_extra_info("sockname")[1]] = "stream"
    registry.stream = writer
    del reader, writer
    await hold()


def lose():
    """A cycle that nothing refers to. The collector is not asked any more."""
    one, other = Session(connect("garbage")), Session(None)
    one.other, other.other = other, one


places = [collections.deque(), {}, []]


def move():
    """Moves sockets from a deque to a dict to a list and back."""
    put = [
        lambda one: places[0].append(one),
        lambda one: places[1].__setitem__(id(one), one),
        lambda one: places[2].append(one),
    ]
    get = [lambda: places[0].popleft(), lambda: places[1].popitem()[1], lambda: places[2].pop()]
    for _ in range(6):
        put[0](Session(connect("moving")))
    DONE.put("moving")
    at = 0
    while True:
        time.sleep(0.7)
        for _ in range(6):
            put[(at + 1) % 3](get[at]())
        at = (at + 1) % 3


def churn():
    """Makes and drops objects, cycles and frames."""
    kept = []
    while True:
        rubbish = [{"number": n, "text": str(n), "list": [n] * 3} for n in range(2000)]
        for one in rubbish:
            one["self"] = rubbish
        kept.append(rubbish)
        del kept[: len(kept) - 20], rubbish
        time.sleep(0.002)


DONE = queue.Queue()
function = make()
produced = produce()
next(produced)
next(produced)
secured = secure()
threading.Thread(target=work, daemon=True).start()
threading.Thread(target=lambda: asyncio.run(keep()), daemon=True).start()
for _ in range(2):
    DONE.get()
gc.collect()
if sys.argv[2] == "0":
    gc.disable()
    lose()
else:
    for _ in range(int(sys.argv[2])):
        threading.Thread(target=churn, daemon=True).start()
    threading.Thread(target=move, daemon=True).start()
    DONE.get()
for port, kind in sorted(KINDS.items()):
    print("HOLDER", kind, port)
print("READY", flush=True)
sys.stdin.readline()

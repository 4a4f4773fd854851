"""Has connections of client libraries, idle in their pools and leased, and says by local port which are which.

Words: the port of a server that answers HTTP (or speaks TLS), and the name of a function below.
"""

import sys

PORT = int(sys.argv[1])
LIBRARY = sys.argv[2]
URL = "http://127.0.0.1:%d" % PORT
KEPT = []


def say(kind, sock):
    print("HOLDER", kind, sock.getsockname()[1])


def ready():
    print("READY", flush=True)


def urllib3():
    import urllib3

    pool = urllib3.PoolManager(maxsize=4)
    leased = pool.request("GET", URL + "/endless", preload_content=False)
    read = pool.request("GET", URL + "/", preload_content=False)
    read.read()
    KEPT.extend((pool, leased, read))
    say("leased", leased._connection.sock)
    say("idle", pool.connection_from_url(URL).pool.queue[-1].sock)
    ready()


def requests():
    import requests

    session = requests.Session()
    leased = session.get(URL + "/endless", stream=True)
    whole = session.get(URL + "/")
    KEPT.extend((session, leased, whole))
    say("leased", leased.raw._connection.sock)
    pools = session.get_adapter(URL).poolmanager.pools
    keys = list(pools.keys())
    say("idle", pools[keys[0]].pool.queue[-1].sock)
    ready()


def redis():
    import redis

    quiet = {"lib_name": None, "lib_version": None} if redis.VERSION >= (5,) else {}
    pool = redis.ConnectionPool(host="127.0.0.1", port=PORT, **quiet)
    leased, idle = pool.get_connection("PING"), pool.get_connection("PING")
    pool.release(idle)
    KEPT.append(pool)
    say("leased", leased._sock)
    say("idle", idle._sock)
    ready()


class Database:
    """What a driver's connection is, as far as a pool knows."""

    def __init__(self):
        import socket

        self.sock = socket.create_connection(("127.0.0.1", PORT))

    def rollback(self):
        pass

    def close(self):
        self.sock.close()


def sqlalchemy():
    from sqlalchemy.pool import QueuePool

    pool = QueuePool(Database)
    leased, idle = pool.connect(), pool.connect()
    KEPT.extend((pool, leased))
    say("leased", leased.dbapi_connection.sock)
    say("idle", idle.dbapi_connection.sock)
    idle.close()
    ready()


def aiohttp():
    import asyncio

    import aiohttp

    async def get():
        session = aiohttp.ClientSession()
        leased = await session.get(URL + "/endless")
        say("leased", leased.connection.transport.get_extra_info("socket"))
        await (await session.get(URL + "/")).read()
        (connections,) = session.connector._conns.values()
        say("idle", connections[0][0].transport.get_extra_info("socket"))
        del connections
        ready()
        await asyncio.Event().wait()

    asyncio.run(get())


class Shop:
    stream = given = None


SHOP = Shop()


def uvloop():
    import asyncio
    import socket

    import uvloop

    async def wait():
        writer = (await asyncio.open_connection("127.0.0.1", PORT))[1]  # a variable for the reader is as near
        say("task", writer.get_extra_info("socket"))
        await asyncio.Event().wait()
        writer.close()

    async def hold():
        _, SHOP.stream = await asyncio.open_connection("127.0.0.1", PORT)
        say("stream", SHOP.stream.get_extra_info("socket"))
        given = socket.create_connection(("127.0.0.1", PORT))
        say("given", given)
        given.setblocking(False)
        _, SHOP.given = await asyncio.open_connection(sock=given)
        del given
        KEPT.append(asyncio.create_task(wait()))
        await asyncio.sleep(0.3)
        ready()
        await asyncio.sleep(1000)

    uvloop.new_event_loop().run_until_complete(hold())


def tls(new_event_loop=None):
    """TLS through asyncio, with a cipher that needs no certificate."""
    import asyncio
    import ssl

    new_event_loop = new_event_loop or asyncio.new_event_loop
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers("aNULL:@SECLEVEL=0")

    async def hold():
        _, SHOP.stream = await asyncio.open_connection("127.0.0.1", PORT, ssl=context)
        say("stream", SHOP.stream.get_extra_info("socket"))
        ready()
        await asyncio.sleep(1000)

    new_event_loop().run_until_complete(hold())


def uvloop_tls():
    import uvloop

    tls(uvloop.new_event_loop)


def gevent():
    from gevent import monkey

    monkey.patch_all()
    import socket

    import gevent

    def hold():
        conn = socket.create_connection(("127.0.0.1", PORT))
        say("held", conn)
        gevent.sleep(1000)
        conn.close()

    KEPT.append(gevent.spawn(hold))
    gevent.sleep(0.5)
    ready()
    gevent.sleep(1000)


globals()[LIBRARY]()
sys.stdin.readline()

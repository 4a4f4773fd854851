"""redis-py: its pool has no idle limit, and looks at a connection only when it takes it out again."""

import threading

import redis
from led import COUNT, at_once, lead


def burst(one):
    gate = threading.Barrier(COUNT)

    def ask():
        connection = one.connection_pool.get_connection()
        gate.wait()
        connection.send_command("PING")
        answer = connection.read_response()
        one.connection_pool.release(connection)
        return answer

    at_once(ask)


def idle(base, _):
    one = redis.Redis.from_url(base.replace("http", "redis"))
    burst(one)
    return one


def checked(base, _):
    one = redis.Redis.from_url(base.replace("http", "redis"), health_check_interval=1)
    burst(one)
    return one


def closed(base, _):
    with redis.Redis.from_url(base.replace("http", "redis")) as one:
        burst(one)
    return one


lead({"idle": idle, "checked": checked, "closed": closed})

"""psycopg_pool: its limits act when a connection is given back; pool.check, called now and then, replaces the dead."""

import threading
import time

from led import COUNT, lead
from psycopg_pool import ConnectionPool


def pool(base, **options):
    one = ConnectionPool(f"{base.replace('http', 'postgresql')}/postgres?user=postgres", min_size=COUNT, **options)
    one.wait()
    return one


def checked(base, _):
    one = pool(base)

    def check():
        while True:
            time.sleep(1)
            one.check()

    threading.Thread(target=check, daemon=True).start()
    return one


def closed(base, _):
    with pool(base) as one:
        return one


lead(
    {
        "idle": lambda base, _: pool(base),
        "limited": lambda base, _: pool(base, max_idle=1, max_lifetime=1),
        "checked": checked,
        "closed": closed,
    }
)

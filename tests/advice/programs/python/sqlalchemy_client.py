"""SQLAlchemy: pool_recycle and pool_pre_ping act when a connection is taken out; idle ones stay until dispose."""

import threading

import sqlalchemy
from led import COUNT, at_once, lead
from sqlalchemy.pool import NullPool


def engine(base, **options):
    return sqlalchemy.create_engine(f"{base.replace('http', 'postgresql+psycopg')}/postgres?user=postgres", **options)


def burst(one):
    gate = threading.Barrier(COUNT)

    def ask():
        with one.connect() as connection:
            gate.wait()
            return connection.execute(sqlalchemy.text("SELECT 1")).scalar()

    at_once(ask)
    return one


def kept(base, _):
    one = engine(base)
    connections = [one.connect() for _ in range(COUNT)]
    return one, [connection.execute(sqlalchemy.text("SELECT 1")) for connection in connections]


def released(base, _):
    one = engine(base)
    for _ in range(COUNT):
        with one.connect() as connection:
            connection.execute(sqlalchemy.text("SELECT 1"))
    one.dispose()
    return one


def disposed(base, _):
    one = burst(engine(base))
    one.dispose()
    return one


lead(
    {
        "idle": lambda base, _: burst(engine(base)),
        "recycled": lambda base, _: burst(engine(base, pool_recycle=1, pool_pre_ping=True)),
        "unpooled": lambda base, _: burst(engine(base, poolclass=NullPool)),
        "disposed": disposed,
        "kept": kept,
        "released": released,
    }
)

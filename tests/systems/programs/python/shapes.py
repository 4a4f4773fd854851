"""Makes one call on a socket from below many shapes of Python stacks, and says each time where it is.

``shapes.py PORT``: it begins when it gets a line. Each shape has a connection of its own to PORT on 127.0.0.1, which is
read once and stays open. The line printed before has the shape's name, the connection's local port, and [function,
file, line] of each frame, innermost first. Each shape is called by a function of its own name. At the end it prints
"END" and waits for its standard input to end. Runs on CPython 3.8 and later.
"""

import asyncio
import ctypes
import functools
import json
import re
import signal
import socket
import sys
import threading
import time
import types

PORT = int(sys.argv[1])
KEPT = []
DEPTHS = (8, 30, 60, 200)
SHAPE = ["none"]


def told(sock):
    """Say where the caller is; the number of bytes that it is to read."""
    frames, frame = [], sys._getframe(1)
    while frame is not None:
        code = frame.f_code
        frames.append([getattr(code, "co_qualname", code.co_name), code.co_filename, frame.f_lineno])
        frame = frame.f_back
    sys.stdout.write(json.dumps([SHAPE[0], sock.getsockname()[1], frames]) + "\n")
    sys.stdout.flush()
    return 1


def through(call):
    return call()


def named(name):
    """The function above under another name: so each shape is another code path."""
    names = {"co_name": name}
    if hasattr(through.__code__, "co_qualname"):
        names["co_qualname"] = name
    return types.FunctionType(through.__code__.replace(**names), globals())


def leaf():
    sock = socket.create_connection(("127.0.0.1", PORT))
    KEPT.append(sock)
    sock.recv(told(sock))


def deep(n):
    return leaf() if n <= 0 else deep(n - 1)


class Account:
    kind = "plain"

    def method(self, n):
        return leaf() if n <= 0 else self.other(n - 1)

    def other(self, n):
        return self.method(n - 1)

    @classmethod
    def of_class(cls):
        return cls.static()

    @staticmethod
    def static():
        return leaf()

    @property
    def balance(self):
        return leaf()

    def __getattr__(self, name):
        return leaf()

    def __getitem__(self, key):
        return leaf()

    def __eq__(self, other):
        return leaf() is None

    def __hash__(self):
        return 1

    def __iter__(self):
        yield leaf()

    def __call__(self):
        return leaf()

    def __enter__(self):
        return self

    def __exit__(self, *error):
        leaf()


class Made:
    def __init__(self, at_last):
        if at_last:
            leaf()


class Heir(Account):
    def method(self, n):
        return super().method(n)


class Meta(type):
    def __call__(cls, *words):
        leaf()
        return super().__call__(*words)


class WithMeta(metaclass=Meta):
    pass


def closure():
    value = 3

    def inner():
        def innermost():
            return leaf(), value

        return innermost()

    return inner()


def made(at_last):
    return Made(at_last)


def warm():
    """Constructors are called without C code in between once a call has been made often."""
    for n in range(200):
        made(n == 199)


def listed():
    return [leaf() for _ in range(1)]


def others():
    return {key: [leaf() for _ in range(1)] for key in {one for one in (1,)}}


def generator():
    def first():
        yield leaf()

    def second():
        yield from first()

    return list(second())


def expression():
    return list(leaf() for _ in range(1))


def by_lambda():
    return (lambda: (lambda n: leaf())(1))()


def decorated():
    def wraps(function):
        @functools.wraps(function)
        def wrapper(*words):
            return function(*words)

        return wrapper

    @wraps
    @functools.lru_cache(maxsize=None)
    def cached():
        return leaf()

    return cached()


def in_handler():
    try:
        raise ValueError
    except ValueError:
        leaf()


def in_finally():
    try:
        return 1
    finally:
        leaf()


def long_lines():
    # fmt: off
    return max(
        1,
        (
            leaf()
            or 2
        ),
    )
    # fmt: on


def by_sort():
    return sorted([1], key=lambda _one: leaf() or 0)


def by_reduce():
    return functools.reduce(lambda _one, _other: leaf(), [1, 2])


def by_map():
    return list(map(lambda _one: deep(3), [1]))


def by_regular_expression():
    return re.sub("a", lambda _match: leaf() or "", "a")


def by_ctypes():
    kind = ctypes.CFUNCTYPE(ctypes.c_int)

    def called():
        leaf()
        return 0

    return kind(called)()


def by_partial():
    return functools.partial(deep, 2)()


def by_signal():
    signal.signal(signal.SIGUSR1, lambda _number, _frame: leaf())
    signal.raise_signal(signal.SIGUSR1)
    return time.time()


def by_exec():
    space = {"leaf": leaf}
    exec(compile("def run(n):\n    return leaf() if n == 0 else run(n - 1)\nrun(3)\n", "<made>", "exec"), space)


def by_eval():
    return eval("leaf()")


def class_body():
    class Inside:
        value = leaf()

    return Inside


def by_module():
    module = types.ModuleType("made")
    module.leaf = leaf
    exec(compile("def f():\n    leaf()\n\n\nf()\n", "/made/module.py", "exec"), module.__dict__)


def traced():
    """With a trace function the bytecode is instrumented, and calls go through C code."""
    sys.settrace(lambda *_words: None)
    try:
        deep(4)
    finally:
        sys.settrace(None)


def many_names():
    längere_größe()


def längere_größe():
    leaf()


async def coroutine(n):
    if n:
        return await coroutine(n - 1)
    await asyncio.sleep(0)
    async for _ in async_generator():
        pass


async def async_generator():
    yield leaf()


class AsyncContext:
    async def __aenter__(self):
        return leaf()

    async def __aexit__(self, *error):
        pass


async def tasks():
    async def one():
        async with AsyncContext():
            pass

    await asyncio.gather(one())
    asyncio.get_running_loop().call_soon(NAMED["tasks"], leaf)
    await asyncio.sleep(0.01)


def run_async():
    asyncio.run(coroutine(6))


def run_tasks():
    asyncio.run(tasks())


def in_thread(call, *words):
    thread = threading.Thread(target=NAMED[SHAPE[0]], args=(functools.partial(call, *words),))
    thread.start()
    thread.join()


def in_pool():
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(1) as pool:
        pool.submit(NAMED[SHAPE[0]], functools.partial(deep, 5)).result()


def with_exit():
    with Account():
        pass


SHAPES = {
    **{"deep %d" % depth: functools.partial(deep, depth) for depth in DEPTHS},
    **{"methods %d" % depth: functools.partial(Account().method, depth) for depth in DEPTHS},
    "class method": Account.of_class,
    "property": lambda: Account().balance,
    "getattr": lambda: Account().missing,
    "getitem": lambda: Account()[1],
    "equal": lambda: Account() == 3,
    "iterator": lambda: list(Account()),
    "call": lambda: Account()(),
    "with": with_exit,
    "super": lambda: Heir().method(3),
    "metaclass": WithMeta,
    "constructor": lambda: Made(True),
    "constructor, warm": warm,
    "closure": closure,
    "list comprehension": listed,
    "nested comprehensions": others,
    "generator": generator,
    "generator expression": expression,
    "lambda": by_lambda,
    "decorated, cached": decorated,
    "handler": in_handler,
    "finally": in_finally,
    "long lines": long_lines,
    "sort": by_sort,
    "reduce": by_reduce,
    "map": by_map,
    "regular expression": by_regular_expression,
    "ctypes": by_ctypes,
    "partial": by_partial,
    "signal": by_signal,
    "exec": by_exec,
    "eval": by_eval,
    "class body": class_body,
    "module": by_module,
    "traced": traced,
    "other letters": many_names,
    "coroutines": run_async,
    "tasks": run_tasks,
    "thread": functools.partial(in_thread, deep, 8),
    "thread 60": functools.partial(in_thread, deep, 60),
    "thread, coroutines": functools.partial(in_thread, run_async),
    "pool": in_pool,
}


NAMED = {name: named("shape_%d" % number) for number, name in enumerate(SHAPES)}


def main():
    sys.stdin.readline()
    for name, shape in SHAPES.items():
        SHAPE[0] = name
        NAMED[name](shape)
    print("END", flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main()

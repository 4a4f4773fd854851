"""Makes functions all the time and forgets them, and reads a connection in each.

``made.py PORT COUNT``: begins when it gets a line. Each of COUNT functions is compiled, called once and freed, as are
many others in between, so that code objects come and go at the same addresses. Every other one claims to come from a
file. Each is called by a lasting function of its own name. It opens a connection to PORT on 127.0.0.1, prints its
local port with [function, file, line] of each frame, reads once and leaves it open. At the end it prints "END" and
waits for its standard input to end.
"""

import functools
import json
import socket
import sys
import types

PORT, COUNT = int(sys.argv[1]), int(sys.argv[2])
KEPT = []
SOURCE = """
def made_{0}(opened, told):
    def inner_{0}():
        sock = opened()
        sock.recv(told(sock))
    inner_{0}()
"""


def opened():
    sock = socket.create_connection(("127.0.0.1", PORT))
    KEPT.append(sock)
    return sock


def told(sock):
    frames, frame = [], sys._getframe(1)
    while frame is not None:
        code = frame.f_code
        frames.append([getattr(code, "co_qualname", code.co_name), code.co_filename, frame.f_lineno])
        frame = frame.f_back
    sys.stdout.write(json.dumps(["made", sock.getsockname()[1], frames]) + "\n")
    return 1


def through(call):
    call()


def named(name):
    names = {"co_name": name}
    if hasattr(through.__code__, "co_qualname"):
        names["co_qualname"] = name
    return types.FunctionType(through.__code__.replace(**names), globals())


CALLERS = [named("caller_%d" % number) for number in range(COUNT)]


def main():
    sys.stdin.readline()
    others = []
    for number in range(COUNT):
        place = "<made %d>" % number if number % 2 else "/srv/made/made_%d.py" % number
        space = {}
        exec(compile(SOURCE.format(number % 97), place, "exec"), space)
        CALLERS[number](functools.partial(space["made_%d" % (number % 97)], opened, told))
        del space
        for other in range(20):
            text = "def other_%d(x):\n    return x + %d" % (other, number)
            others.append(compile(text, "/srv/made/others.py", "exec"))
        del others[: -(number % 50) - 1]
    sys.stdout.flush()
    print("END", flush=True)
    while sys.stdin.readline():
        exec(compile("def idle(): pass", "<idle>", "exec"), {})


if __name__ == "__main__":
    main()

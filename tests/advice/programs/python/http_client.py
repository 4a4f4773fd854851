"""http.client: a connection stays open as long as the object lives, or until close."""

import http.client

from led import COUNT, lead


def asked(base):
    connection = http.client.HTTPConnection(base.removeprefix("http://"))
    connection.request("GET", "/200/12")
    connection.getresponse().read()
    return connection


def closed(base, _):
    for _ in range(COUNT):
        asked(base).close()


lead({"idle": lambda base, _: [asked(base) for _ in range(COUNT)], "closed": closed})

"""httpx: a Client looks at its idle connections, keepalive_expiry included, only when the next request is made."""

import httpx
from led import COUNT, at_once, lead


def idle(base, _):
    one = httpx.Client()
    at_once(lambda: one.get(f"{base}/200/12").text)
    return one


def expiring(base, _):
    one = httpx.Client(limits=httpx.Limits(keepalive_expiry=1.0))
    at_once(lambda: one.get(f"{base}/200/12").text)
    return one


def closed(base, _):
    with httpx.Client() as one:
        at_once(lambda: one.get(f"{base}/200/12").text)


def kept(base, _):
    one = httpx.Client()
    return one, [one.send(one.build_request("GET", f"{base}/200/12"), stream=True) for _ in range(COUNT)]


def released(base, _):
    one = httpx.Client()
    for _ in range(COUNT):
        with one.stream("GET", f"{base}/200/12") as response:
            response.raise_for_status()
    return one


lead({"idle": idle, "expiring": expiring, "closed": closed, "kept": kept, "released": released})

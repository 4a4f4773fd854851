"""urllib3: a PoolManager's pools have no idle limit; a response that is not preloaded keeps its connection."""

import urllib3
from led import COUNT, at_once, lead


def idle(base, _):
    one = urllib3.PoolManager(maxsize=COUNT)
    at_once(lambda: one.request("GET", f"{base}/200/12").data)
    return one


def cleared(base, _):
    one = idle(base, _)
    one.clear()
    return one


def kept(base, _):
    one = urllib3.PoolManager(maxsize=COUNT)
    return one, [one.request("GET", f"{base}/200/12", preload_content=False) for _ in range(COUNT)]


def released(base, _):
    one = urllib3.PoolManager(maxsize=COUNT)
    for _ in range(COUNT):
        one.request("GET", f"{base}/200/12", preload_content=False).close()
    return one


lead({"idle": idle, "cleared": cleared, "kept": kept, "released": released})

"""requests: a Session's pool has no idle limit; a streamed response keeps its connection until it is closed."""

import requests
from led import COUNT, at_once, lead


def session() -> requests.Session:
    made = requests.Session()
    made.mount("http://", requests.adapters.HTTPAdapter(pool_maxsize=COUNT))
    return made


def idle(base, _):
    one = session()
    at_once(lambda: one.get(f"{base}/200/12").text)
    return one


def closed(base, _):
    with session() as one:
        at_once(lambda: one.get(f"{base}/200/12").text)


def kept(base, _):
    one = session()
    return one, [one.get(f"{base}/200/12", stream=True) for _ in range(COUNT)]


def released(base, _):
    one = session()
    for _ in range(COUNT):
        with one.get(f"{base}/200/12", stream=True) as response:
            response.raise_for_status()
    return one


lead({"idle": idle, "closed": closed, "kept": kept, "released": released})

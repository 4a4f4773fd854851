"""One cell a library: the ways in which its program is run, and how many sockets linger after each.

A cell tries what diagnose/libraries.py says of the library: ``tries`` names the mode for each sentence. The modes run
at the same time against one peer that hangs up after ``idle_s`` of silence.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from tests.advice.programs import COUNT

PROBLEM = COUNT
CURED = 0


@dataclass(frozen=True)
class Cell:
    """A library and its program's modes.

    ``counts``: how many sockets of the mode's process are in CLOSE_WAIT in the end. ``traced``: the modes that
    closetrace watches as well: it must name the library, and say the sentence that the mode is the problem of.
    ``ci``: one of the cells that stand for the rest.
    """

    library: str
    program: str
    counts: Mapping[str, int]
    tries: Mapping[str, str]
    traced: Mapping[str, str] = field(default_factory=dict)
    peer: str = "http"
    idle_s: int = 2
    limit_s: float = 15
    ci: bool = False


_POOL = {"idle": PROBLEM, "kept": PROBLEM, "released": CURED}
_NOTICES = {"idle": CURED, "kept": PROBLEM, "released": CURED}
_NOTICED = {"notices": "idle", "release": "released"}
_SAID = {"idle": "idle", "kept": "release"}

CELLS = (
    Cell(
        "requests",
        "requests_client.py",
        {**_POOL, "closed": CURED},
        {"idle": "closed", "release": "released"},
        traced=_SAID,
        ci=True,
    ),
    Cell(
        "httpx",
        "httpx_client.py",
        {**_POOL, "expiring": PROBLEM, "closed": CURED},
        {"idle": "closed", "release": "released"},
        traced=_SAID,
        ci=True,
    ),
    Cell("aiohttp", "aiohttp_client.py", _NOTICES, _NOTICED, traced={"kept": "release"}, ci=True),
    Cell(
        "botocore",
        "botocore_client.py",
        {**_POOL, "closed": CURED},
        {"idle": "closed", "release": "released"},
        traced=_SAID,
    ),
    Cell(
        "urllib3",
        "urllib3_client.py",
        {**_POOL, "cleared": CURED},
        {"idle": "cleared", "release": "released"},
        traced=_SAID,
    ),
    Cell(
        "http.client",
        "http_client.py",
        {"idle": PROBLEM, "closed": CURED},
        {"idle": "closed", "release": "closed"},
        traced={"idle": "idle"},
    ),
    Cell(
        "Net::HTTP",
        "net_http_client.rb",
        {"idle": PROBLEM, "finished": CURED, "in_a_block": CURED},
        {"idle": "finished", "release": "finished"},
        traced={"idle": "idle"},
    ),
    Cell(
        "redis-py",
        "redis_client.py",
        {"idle": PROBLEM, "checked": PROBLEM, "closed": CURED},
        {"idle": "closed"},
        traced={"idle": "idle"},
        peer="redis",
    ),
    Cell(
        "SQLAlchemy",
        "sqlalchemy_client.py",
        {
            "idle": PROBLEM,
            "recycled": PROBLEM,
            "unpooled": CURED,
            "disposed": CURED,
            "kept": PROBLEM,
            "released": CURED,
        },
        {"idle": "unpooled", "release": "released"},
        traced=_SAID,
        peer="postgres",
        ci=True,
    ),
    Cell(
        "psycopg_pool",
        "psycopg_pool_client.py",
        {"idle": PROBLEM, "limited": PROBLEM, "checked": CURED},
        {"idle": "checked"},
        traced={"idle": "idle"},
        peer="postgres",
    ),
    Cell(
        "Node's http.Agent",
        "http_agent_client.js",
        {"idle": CURED, "kept": PROBLEM, "resumed": CURED, "destroyed": CURED},
        {"notices": "idle", "release": "resumed"},
        ci=True,
    ),
    Cell("fetch", "fetch_client.js", _NOTICES, _NOTICED),
    Cell("undici", "undici_client.js", _NOTICES, _NOTICED),
    Cell(
        "ws",
        "ws_client.js",
        {"idle": CURED, "paused": PROBLEM, "resumed": CURED, "terminated": CURED},
        {"notices": "idle", "release": "terminated"},
    ),
    Cell(
        "Node's net",
        "net_client.js",
        {"idle": CURED, "paused": PROBLEM, "half_open": PROBLEM, "ended": CURED, "destroyed": CURED},
        {"notices": "idle", "release": "ended"},
    ),
    Cell(
        "OkHttp",
        "OkHttp.java",
        {**_POOL, "limited": CURED},
        {"setting": "limited", "release": "released"},
        traced={"idle": "setting", "kept": "release"},
        ci=True,
    ),
    Cell(
        "Apache HttpClient",
        "HttpClient4.java",
        {**_POOL, "evicting": CURED},
        {"setting": "evicting", "release": "released"},
        traced={"idle": "setting", "kept": "release"},
        ci=True,
    ),
    Cell(
        "Apache HttpClient 5",
        "HttpClient5.java",
        {**_POOL, "evicting": CURED},
        {"setting": "evicting", "release": "released"},
        traced={"idle": "setting", "kept": "release"},
    ),
    Cell(
        "Commons HttpClient 3",
        "HttpClient3.java",
        {**_POOL, "swept": CURED},
        {"setting": "swept", "release": "released"},
        traced={"idle": "setting", "kept": "release"},
    ),
    Cell("the JDK's HttpClient", "JdkHttpClient.java", _NOTICES, _NOTICED, traced={"kept": "release"}),
    Cell(
        "HttpURLConnection",
        "UrlConnection.java",
        {**_POOL, "single": CURED},
        {"idle": "single", "release": "released"},
        traced={"idle": "idle", "kept": "release"},
    ),
    Cell(
        "HikariCP",
        "Hikari.java",
        {"idle": PROBLEM, "aging": CURED, "kept": PROBLEM, "released": CURED},
        {"setting": "aging", "release": "released"},
        traced={"idle": "setting"},
        peer="postgres",
        idle_s=36,
        limit_s=60,
    ),
    Cell(
        "Commons DBCP",
        "Dbcp.java",
        {**_POOL, "evicting": CURED},
        {"setting": "evicting", "release": "released"},
        traced={"idle": "setting"},
        peer="postgres",
    ),
    Cell(
        "Netty",
        "NettyClient.java",
        {"idle": CURED, "paused": PROBLEM, "timed": CURED, "closed": CURED},
        {"notices": "idle", "setting": "timed", "release": "closed"},
    ),
    Cell("Go's net/http", "client.go", _NOTICES, _NOTICED, traced={"kept": "release"}, ci=True),
    Cell(
        "libcurl",
        "curl_client.c",
        {"idle": PROBLEM, "aging": PROBLEM, "forbidden": CURED, "cleaned_up": CURED},
        {"idle": "forbidden", "release": "cleaned_up"},
        traced={"idle": "idle"},
        ci=True,
    ),
    Cell(
        "Apache's mod_proxy",
        "mod_proxy.py",
        {"idle": PROBLEM, "aging": PROBLEM, "unused": CURED},
        {"idle": "unused"},
    ),
    Cell(
        "libpq",
        "libpq_client.c",
        {"idle": PROBLEM, "finished": CURED},
        {"idle": "finished", "release": "finished"},
        traced={"idle": "idle"},
        peer="postgres",
    ),
    Cell(
        "hiredis",
        "hiredis_client.c",
        {"idle": PROBLEM, "freed": CURED},
        {"idle": "freed", "release": "freed"},
        traced={"idle": "idle"},
        peer="redis",
    ),
)

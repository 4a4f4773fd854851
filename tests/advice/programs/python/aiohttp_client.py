"""aiohttp: its event loop closes an idle connection when the peer hangs up; an unreleased one is paused."""

import asyncio

import aiohttp
from led import COUNT, lead_async

CUT_SHORT = "500/600000/180000"


async def idle(base, _):
    one = aiohttp.ClientSession()

    async def fetch():
        async with one.get(f"{base}/200/12") as response:
            await response.text()

    await asyncio.gather(*(fetch() for _ in range(COUNT)))
    return one


async def kept(base, _):
    one = aiohttp.ClientSession(read_bufsize=1 << 14)
    return one, [await one.get(f"{base}/{CUT_SHORT}") for _ in range(COUNT)]


async def released(base, _):
    one = aiohttp.ClientSession(read_bufsize=1 << 14)
    for _ in range(COUNT):
        async with one.get(f"{base}/{CUT_SHORT}") as response:
            assert response.status == 500
    return one


lead_async({"idle": idle, "kept": kept, "released": released})

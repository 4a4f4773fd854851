"""A watch service with aiohttp: /check asks every backend, /history tells how each answered lately.

watch_service.py [closing] URL... It prints its port.
"""

import asyncio
import collections
import sys

from aiohttp import ClientSession, web

URLS = [word for word in sys.argv[1:] if "://" in word]
history = collections.deque(maxlen=100)


async def status_of(session, url):
    response = await session.get(url)
    history.append(response)
    return response.status


async def status_of_closing(session, url):
    async with session.get(url) as response:
        history.append(response)
        return response.status


ask = status_of_closing if "closing" in sys.argv else status_of


async def check(request):
    return web.json_response([await ask(request.app["session"], url) for url in URLS])


async def show(_):
    return web.json_response([[str(one.url), one.status, dict(one.headers)] for one in history])


async def main():
    app = web.Application()
    app.add_routes([web.get("/check", check), web.get("/history", show)])
    async with ClientSession(read_bufsize=1 << 14) as app["session"]:
        runner = web.AppRunner(app)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        print(runner.addresses[0][1], flush=True)
        await asyncio.Event().wait()


asyncio.run(main())

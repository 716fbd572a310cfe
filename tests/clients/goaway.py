"""PORT CA KEY FILE: sends one request, creates FILE, and prints how the server closes the connection."""

import asyncio
import json
import sys
from pathlib import Path

import h3


async def main():
    port, ca, key, ready = int(sys.argv[1]), sys.argv[2], sys.argv[3], Path(sys.argv[4])
    async with h3.client(port, ca) as client:
        status, _, _ = await client.ask("GET", "/2026-02-01/ping.json", key)
        ready.touch()
        for _ in range(2000):
            if client.goaway or client.closed.is_set():
                break
            await asyncio.sleep(0.01)
        after = None
        if client.goaway and not client.closed.is_set():
            after, _, _ = await client.ask("GET", "/2026-02-01/ping.json", key, within=3)
        try:
            await asyncio.wait_for(client.closed.wait(), 10)
        except asyncio.TimeoutError:
            pass
        print(
            json.dumps(
                {
                    "status": status,
                    "goaway": client.goaway,
                    "closeCode": client.close_code,
                    "statusAfter": after if after == 200 else None,
                }
            )
        )


asyncio.run(main())

"""CLIENT PORT CA KEY FOLDER: a connection whose server crashes between two requests.

Writes FOLDER/asked after the first reply, waits for FOLDER/restarted, and asks again on the same connection. Prints the
seconds until the client knows that the connection is gone, as JSON.
"""

import asyncio
import json
import sys
import time
from pathlib import Path

name, port, ca, key, folder = sys.argv[1], int(sys.argv[2]), sys.argv[3], sys.argv[4], Path(sys.argv[5])
URL = f"https://127.0.0.1:{port}/2026-02-01/ping.json"
FIELDS = {"authorization": f"Bearer {key}"}


def await_restart():
    (folder / "asked").touch()
    deadline = time.monotonic() + 60
    while not (folder / "restarted").exists():
        assert time.monotonic() < deadline, "the server was not started again"
        time.sleep(0.02)


def ask_twice(ask):
    """A client may try again by itself, or report the lost connection; then it has to succeed at once."""
    assert ask() == 200
    await_restart()
    started = time.monotonic()
    try:
        status, error = ask(), None
    except Exception as lost:
        status, error = None, type(lost).__name__
    seconds = time.monotonic() - started
    return {"seconds": seconds, "status": status, "error": error, "statusAfter": ask()}


def curl():
    from curl_cffi import CurlHttpVersion, requests

    with requests.Session() as session:
        options = {"headers": FIELDS, "http_version": CurlHttpVersion.V3ONLY, "verify": ca, "timeout": 20}
        return ask_twice(lambda: session.get(URL, **options).status_code)


def niquests():
    import niquests

    with niquests.Session() as session:
        session.quic_cache_layer.add_domain("127.0.0.1", port)

        def ask():
            reply = session.get(URL, headers=FIELDS, verify=ca, timeout=20)
            assert reply.http_version == 30, reply.http_version
            return reply.status_code

        return ask_twice(ask)


async def aioquic():
    """It does not compare reset tokens, so the datagram is looked at."""
    import h3

    async with h3.client(port, ca) as client:
        assert (await client.ask("GET", "/2026-02-01/ping.json", key))[0] == 200
        token = client._quic._peer_cid.stateless_reset_token
        await asyncio.to_thread(await_restart)
        reset = asyncio.Event()
        receive = client.datagram_received

        def receive_watched(data, address):
            if data[-16:] == token:
                reset.set()
            receive(data, address)

        client.datagram_received = receive_watched
        started = time.monotonic()
        client.request("GET", "/2026-02-01/ping.json", key)
        await asyncio.wait_for(reset.wait(), 20)
        return {"seconds": time.monotonic() - started, "statusAfter": 200}


CLIENTS = {"curl": curl, "niquests": niquests, "aioquic": lambda: asyncio.run(aioquic())}
print(json.dumps(CLIENTS[name]()))

"""PORT CA KEY: whether a client without prior knowledge finds HTTP/3 by `alt-svc`."""

import json
import sys

import niquests

port, ca, key = int(sys.argv[1]), sys.argv[2], sys.argv[3]
versions = []
with niquests.Session() as session:
    for _ in range(3):
        reply = session.get(
            f"https://127.0.0.1:{port}/2026-02-01/ping.json",
            headers={"authorization": f"Bearer {key}"},
            verify=ca,
            timeout=20,
        )
        reply.raise_for_status()
        versions.append(reply.http_version)
print(json.dumps({"versions": versions}))

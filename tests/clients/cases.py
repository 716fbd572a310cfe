"""The contract's cases that every third-party client runs, and the form in which responses are printed."""

import json
import sys

# Name, method, path, and which credential: the key, a key that was never issued, or none.
CASES = [
    ("ping", "GET", "/2026-02-01/ping.json", "key"),
    ("connection", "GET", "/2026-02-01/connection.json", "key"),
    ("head", "HEAD", "/2026-02-01/connection.json", "key"),
    ("options", "OPTIONS", "/2026-02-01/ping.json", "key"),
    ("post", "POST", "/2026-02-01/ping.json", "key"),
    ("missing", "GET", "/2026-02-01/nothing.json", "key"),
    ("no_key", "GET", "/2026-02-01/ping.json", None),
    ("unknown_key", "GET", "/2026-02-01/ping.json", "unknown"),
    ("again", "GET", "/2026-02-01/ping.json", "key"),
]


def arguments():
    """PORT, the CA's file, the key and the unknown key, as the Rust tests pass them."""
    port, ca, key, unknown = sys.argv[1:5]
    return int(port), ca, {"key": key, "unknown": unknown}


def answer(name, status, version, headers, body):
    """One answer. `headers` are pairs; `version` is the client's own word for the protocol."""
    return {
        "case": name,
        "status": status,
        "version": str(version),
        "headers": [[field.lower(), value] for field, value in headers],
        "body": body.decode() if isinstance(body, bytes) else (body or ""),
    }


def finish(client, answers):
    print(json.dumps({"client": client, "answers": answers}))

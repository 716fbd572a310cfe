"""PORT CA KEY UNKNOWN-KEY: the contract's cases over HTTP/3 by niquests."""

import niquests

import cases

port, ca, keys = cases.arguments()
answers = []
with niquests.Session() as session:
    # Without this it would start with HTTP/2 and follow alt-svc.
    session.quic_cache_layer.add_domain("127.0.0.1", port)
    for name, method, path, credential in cases.CASES:
        headers = {"authorization": f"Bearer {keys[credential]}"} if credential else {}
        reply = session.request(method, f"https://127.0.0.1:{port}{path}", headers=headers, verify=ca, timeout=20)
        version = {30: "HTTP/3", 20: "HTTP/2", 11: "HTTP/1.1"}.get(reply.http_version, reply.http_version)
        answers.append(cases.answer(name, reply.status_code, version, reply.headers.items(), reply.content))
cases.finish("niquests", answers)

"""PORT CA KEY UNKNOWN-KEY: the contract's cases over HTTP/3 by curl (ngtcp2 and nghttp3), strict about streams."""

from curl_cffi import CurlHttpVersion, requests

import cases

port, ca, keys = cases.arguments()
answers = []
with requests.Session() as session:
    for name, method, path, credential in cases.CASES:
        headers = {"authorization": f"Bearer {keys[credential]}"} if credential else {}
        reply = session.request(
            method,
            f"https://localhost:{port}{path}",
            headers=headers,
            http_version=CurlHttpVersion.V3ONLY,
            verify=ca,
            timeout=20,
        )
        version = {30: "HTTP/3", 3: "HTTP/2"}.get(int(reply.http_version), reply.http_version)
        answers.append(cases.answer(name, reply.status_code, version, reply.headers.multi_items(), reply.content))
cases.finish("curl_cffi", answers)

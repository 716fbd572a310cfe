"""PORT CA KEY CASE: attacks over HTTP/3. Prints how the server reacted, as JSON.

Every case ends by itself: each wait has a bound.
"""

import asyncio
import json
import socket
import sys
import time

import h3
from aioquic.buffer import encode_uint_var
from h3 import encode, frame

PING = "/2026-02-01/ping.json"
# An endpoint of test-gateway that accepts content.
ECHO = "/test/echo.json"
HEADERS, DATA, CANCEL_PUSH, SETTINGS, PUSH_PROMISE, GOAWAY, MAX_PUSH_ID = 0x1, 0x0, 0x3, 0x4, 0x5, 0x7, 0xD
CONTROL, PUSH, ENCODER, DECODER = 0x0, 0x1, 0x2, 0x3


async def closed(client, within):
    """Waits for the server to close; the code, or None when it did not."""
    try:
        await asyncio.wait_for(client.closed.wait(), within)
    except asyncio.TimeoutError:
        return None
    return client.close_code


async def pour(client, kind, streams=16, declared=16 * 1024**3, each=4 * 1024**2):
    """Frames that declare more than anyone should keep, and as much of it as the server takes."""
    opened = [client.open() for _ in range(streams)]
    for stream in opened:
        client.send(stream, frame(kind, b"", declared))
    piece = bytes(16 * 1024)
    deadline = time.monotonic() + 20
    sent = 0
    for _ in range(each // len(piece)):
        for stream in opened:
            if client.closed.is_set() or time.monotonic() > deadline:
                break
            client.send(stream, piece)
            sent += len(piece)
        await asyncio.sleep(0.002)
    return {"closeCode": await closed(client, 5), "sentBytes": sent}


async def oversized_headers(client, _key):
    return await pour(client, HEADERS)


async def oversized_unknown(client, _key):
    return await pour(client, 0x21)


async def oversized_once(client, key):
    """One stream with a frame that nobody should keep, another that is as it should be."""
    stream = client.open()
    client.send(stream, frame(HEADERS, b"", 16 * 1024**3) + bytes(1024))
    status, fields, body = await client.answer(stream)
    after, _, _ = await client.ask("GET", PING, key)
    return {"status": status, "fields": dict(fields), "body": body.decode(), "statusAfter": after}


async def longest_target(client, key):
    """A target that no type of ours has room for."""
    stream = client.open()
    target = PING.encode() + b"?" + b"a" * 65535
    # By hand, because the encoder accepts no such value: its length does not fit in the prefix.
    rest, length = len(target) - 127, [127]
    while rest >= 128:
        rest, low = divmod(rest, 128)
        length.append(low | 128)
    length.append(rest)
    method, scheme, authority, path = b"\xd1", b"\xd7", b"\x50\x09localhost", b"\x51" + bytes(length) + target
    client.send(stream, frame(HEADERS, b"\0\0" + method + scheme + authority + path))
    status, fields, body = await client.answer(stream)
    after, _, _ = await client.ask("GET", PING, key)
    return {"status": status, "fields": dict(fields), "body": body.decode(), "statusAfter": after}


async def late_head(client, key):
    """Half a head, and time; then a whole one."""
    stream = client.open()
    head = frame(HEADERS, encode(client, stream, client.headers("GET", PING, key)))
    client.send(stream, head[:-3])
    status, fields, body = await client.answer(stream)
    after, _, _ = await client.ask("GET", PING, key)
    return {"status": status, "fields": dict(fields), "body": body.decode(), "statusAfter": after}


async def lost_heads(client, key):
    """Half heads, each given up at once."""
    sent = 0
    while sent < 1000 and not client.closed.is_set():
        stream = client.open()
        head = frame(HEADERS, encode(client, stream, client.headers("GET", PING, key)))
        client.send(stream, head[:-3])
        await asyncio.sleep(0.001)
        if not client.closed.is_set():
            client._quic.reset_stream(stream, 0x10C)
            client.transmit()
        sent += 1
    return {"sent": sent, "closeCode": await closed(client, 5)}


async def goaway_behind_request(client, key):
    """Requests, and in the same breath the word that there will be no more."""
    slow = client.request("GET", PING, key, [(b"content-type", b"application/json")], end=False)
    quick = [client.request("GET", PING, key) for _ in range(8)]
    client.send(client.http._local_control_stream_id, frame(GOAWAY, b"\x00"))
    answers = [(await client.answer(stream))[0] for stream in quick]
    await asyncio.sleep(0.5)
    client.send(slow, frame(DATA, b"{}"), end=True)
    answers.append((await client.answer(slow))[0])
    return {"answers": answers, "closeCode": await closed(client, 5)}


async def goaway_with_request(client, key):
    """One request and the word that there will be no more, in one datagram."""
    stream = client.open()
    head = frame(HEADERS, encode(client, stream, client.headers("GET", PING, key)))
    client._quic.send_stream_data(stream, head, True)
    client.send(client.http._local_control_stream_id, frame(GOAWAY, b"\x00"))
    status, _, _ = await client.answer(stream)
    return {"answers": [status], "closeCode": await closed(client, 5)}


async def goaway_and_on(client, key):
    """The word that there will be no more requests, and many more behind it."""
    before = (await client.ask("GET", PING, key))[0]
    client.send(client.http._local_control_stream_id, frame(GOAWAY, b"\x00"))
    answers = [before]
    for _ in range(30):
        streams = [client.request("GET", PING, key) for _ in range(10)]
        answers.extend([(await client.answer(stream))[0] for stream in streams])
    return {"answers": answers, "refusedFrom": client.refused_from, "resetCodes": sorted(client.reset_codes)}


async def migrating(client, key):
    """A request from each of many ports, by one connection; then a new id for it at each."""
    statuses = []
    for change in range(16):
        local = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
        local.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        local.bind(("::", 0))
        before = client._transport
        # It replaces the previous transport.
        await asyncio.get_running_loop().create_datagram_endpoint(lambda: client, sock=local)
        before.close()
        if change % 2:
            client.change_connection_id()
        statuses.append((await client.ask("GET", PING, key))[0])
    return {"statuses": statuses}


async def endless_data(client, key):
    """A body far over the limit on 16 streams, its length not declared."""
    streams = [client.request("POST", ECHO, key, [(b"content-type", b"application/json")], end=False) for _ in range(16)]
    piece = bytes(16 * 1024)
    for _ in range(256):
        for stream in streams:
            if not client.closed.is_set():
                client.send(stream, frame(DATA, piece))
        await asyncio.sleep(0.002)
    answers = [(await client.answer(stream, 5))[0] for stream in streams]
    return {"statuses": answers}


async def many_fields(client, key):
    """30,000 fields of one byte each: QPACK's static table makes them cheap to send."""
    stream = client.open()
    head = encode(client, stream, client.headers("GET", PING, key))
    client.send(stream, frame(HEADERS, head + b"\xc2" * 30000), end=True)
    status, fields, body = await client.answer(stream)
    return {"status": status, "fields": dict(fields), "body": body.decode(), "closeCode": await closed(client, 1)}


async def large_fields(client, key):
    """20 KiB in one value, over the limit of fields and under that of frames."""
    status, fields, body = await client.ask("GET", PING, key, [(b"x-long", b"a" * 20 * 1024)])
    return {"status": status, "fields": dict(fields), "body": body.decode()}


async def half_requests(client, key):
    """Every stream that may be open begins a request and does not go on."""
    streams = []
    for number in range(100):
        stream = client.open()
        head = frame(HEADERS, encode(client, stream, client.headers("GET", PING, key)))
        client.send(stream, head[: 1 + number % (len(head) - 1)])
        streams.append(stream)
    started = time.monotonic()
    answers = [(await client.answer(stream, 12))[0] for stream in streams]
    return {"answers": answers, "closeCode": await closed(client, 12), "seconds": time.monotonic() - started}


async def reset_flood(client, key):
    """Requests that are given up as soon as they are sent (rapid reset)."""
    sent = 0
    for _ in range(100):
        for _ in range(50):
            if client.closed.is_set():
                break
            stream = client.request("GET", PING, key)
            client._quic.reset_stream(stream, 0x10C)
            client._quic.stop_stream(stream, 0x10C)
            sent += 1
        client.transmit()
        await asyncio.sleep(0.005)
    code = client.close_code if client.closed.is_set() else None
    return {"sent": sent, "closeCode": code}


async def silent(client, _key):
    """A handshake, and then nothing."""
    started = time.monotonic()
    code = await closed(client, 30)
    return {"closeCode": code, "closed": client.closed.is_set(), "seconds": time.monotonic() - started}


async def idle(client, key):
    """One request, and then nothing."""
    status, _, _ = await client.ask("GET", PING, key)
    started = time.monotonic()
    code = await closed(client, 30)
    return {
        "status": status,
        "closeCode": code,
        "closed": client.closed.is_set(),
        "seconds": time.monotonic() - started,
    }


def on_request_stream(data):
    async def run(client, _key):
        stream = client.open()
        client.send(stream, data, end=True)
        first = await client.answer(stream, 5)
        return {"status": first[0], "closeCode": await closed(client, 3)}

    return run


def behind_head(data):
    async def run(client, key):
        stream = client.open()
        client.send(stream, frame(HEADERS, encode(client, stream, client.headers("GET", PING, key))) + data, end=True)
        first = await client.answer(stream, 5)
        return {"status": first[0], "closeCode": await closed(client, 3)}

    return run


def with_content(*frames):
    """A request with a head that declares no length, and these frames."""

    async def run(client, key):
        stream = client.open()
        head = encode(client, stream, client.headers("GET", PING, key, [JSON]))
        client.send(stream, b"".join([frame(HEADERS, head), *frames]), end=True)
        status, fields, body = await client.answer(stream, 5)
        closing = await closed(client, 1)
        return {"status": status, "fields": dict(fields), "body": body.decode(), "closeCode": closing}

    return run


async def content_cut_late(client, key):
    """Content that an endpoint takes; the stream ends within its DATA frame, a moment after the head came."""
    stream = client.request("POST", ECHO, key, [JSON], end=False)
    await asyncio.sleep(0.1)
    client.send(stream, frame(DATA, b"{}", 3), end=True)
    status, _, _ = await client.answer(stream, 5)
    return {"status": status, "closeCode": await closed(client, 1)}


def on_control_stream(data, end=False):
    async def run(client, _key):
        client.send(client.http._local_control_stream_id, data, end)
        return {"closeCode": await closed(client, 5)}

    return run


def as_control_stream(data):
    """A control stream with these frames, in place of aioquic's, which begins with its settings."""

    async def run(client, _key):
        stream = client._quic.get_next_available_stream_id(is_unidirectional=True)
        client.send(stream, bytes([CONTROL]) + data)
        return {"closeCode": await closed(client, 5)}

    run.has_http = False
    return run


def split(data):
    """On the control stream, byte by byte, each in a packet of its own."""

    async def run(client, _key):
        for place in range(len(data)):
            client.send(client.http._local_control_stream_id, data[place : place + 1])
            await asyncio.sleep(0.005)
        return {"closeCode": await closed(client, 5)}

    return run


def on_new_unidirectional(data, end=False):
    async def run(client, _key):
        stream = client._quic.get_next_available_stream_id(is_unidirectional=True)
        client.send(stream, data, end)
        return {"closeCode": await closed(client, 5)}

    return run


def on_own_unidirectional(name, data, end=False):
    """On one of the streams that the client has opened at the start."""

    async def run(client, key):
        client.send(getattr(client.http, name), data, end)
        code = await closed(client, 0.5)
        status = None if client.closed.is_set() else (await client.ask("GET", PING, key))[0]
        return {"closeCode": code, "status": status}

    return run


def with_fields(fields, content=b""):
    """A request whose fields are written by hand; `{key}` stands for the key."""

    async def run(client, key):
        stream = client.open()
        ready = [(name, value.replace(b"{key}", key.encode())) for name, value in fields]
        body = frame(DATA, content) if content else b""
        client.send(stream, frame(HEADERS, encode(client, stream, ready)) + body, end=True)
        status, answered, body = await client.answer(stream, 5)
        return {
            "status": status,
            "fields": dict(answered),
            "closeCode": await closed(client, 1),
            "body": body.decode(),
        }

    return run


METHOD, SCHEME, AUTHORITY = (b":method", b"GET"), (b":scheme", b"https"), (b":authority", b"localhost")
PATH, BEARER = (b":path", PING.encode()), (b"authorization", b"Bearer {key}")
GOOD = [METHOD, SCHEME, AUTHORITY, PATH, BEARER]
JSON = (b"content-type", b"application/json")

CONTENT, TRAILERS = frame(DATA, b"{}"), frame(HEADERS, b"\x00\x00\x23x-a\x01b")

CASES = {
    "oversized_headers": oversized_headers,
    "oversized_unknown": oversized_unknown,
    "oversized_once": oversized_once,
    "longest_target": longest_target,
    "late_head": late_head,
    "lost_heads": lost_heads,
    "goaway_behind_request": goaway_behind_request,
    "goaway_with_request": goaway_with_request,
    "goaway_and_on": goaway_and_on,
    "migrating": migrating,
    "endless_data": endless_data,
    "many_fields": many_fields,
    "large_fields": large_fields,
    "half_requests": half_requests,
    "reset_flood": reset_flood,
    "silent": silent,
    "idle": idle,
    # Forbidden frames (RFC 9114 §7.2) and streams (§6.2).
    "data_first": on_request_stream(frame(DATA, b"x")),
    "settings_on_request": on_request_stream(frame(SETTINGS, b"")),
    "push_promise_on_request": on_request_stream(frame(PUSH_PROMISE, b"\x00\x00\x00")),
    "push_promise_behind_head": behind_head(frame(PUSH_PROMISE, b"\x00\x00\x00")),
    "push_promise_behind_content": with_content(CONTENT, frame(PUSH_PROMISE, b"\x00\x00\x00")),
    "http2_priority": on_request_stream(frame(0x2, b"\x00" * 5)),
    "http2_ping": on_request_stream(frame(0x6, b"\x00" * 8)),
    "http2_window_update": on_request_stream(frame(0x8, b"\x00" * 4)),
    "http2_continuation": on_request_stream(frame(0x9, b"\x00")),
    "settings_behind_head": behind_head(frame(SETTINGS, b"")),
    "qpack_bad_index": on_request_stream(frame(HEADERS, b"\x00\x00\xff\xff\xff\x7f")),
    "qpack_dynamic": on_request_stream(frame(HEADERS, b"\x05\x00\x80")),
    "qpack_cut": on_request_stream(frame(HEADERS, b"\x00\x00\x27\xff")),
    "empty_headers": on_request_stream(frame(HEADERS, b"")),
    "empty_stream": on_request_stream(b""),
    "data_behind_trailers": with_content(CONTENT, TRAILERS, CONTENT),
    "trailers_behind_trailers": with_content(CONTENT, TRAILERS, TRAILERS),
    "goaway_behind_content": with_content(CONTENT, frame(GOAWAY, b"\x00")),
    "content_cut": with_content(frame(DATA, b"{}", 3)),
    "content_cut_in_ping": behind_head(frame(DATA, b"x", 10)),
    "content_cut_in_echo": content_cut_late,
    "head_cut_behind_unknown": on_request_stream(frame(0x21, b"a") + frame(HEADERS, b"\x00\x00", 9)),
    "unknown_frame_cut": behind_head(frame(0x21, b"a", 5)),
    "frame_cut": with_content(CONTENT, b"\x21"),
    "trailers_undecodable": with_content(CONTENT, frame(HEADERS, b"\x00\x00\x80")),
    "trailers": with_content(CONTENT, TRAILERS),
    "content_between_unknown": with_content(frame(0x21, b"a"), CONTENT, frame(0x40, b""), TRAILERS, frame(0x21, b"b")),
    "pseudo_in_trailers": with_content(CONTENT, frame(HEADERS, b"\x00\x00\xd1")),
    "upper_case_in_trailers": with_content(CONTENT, frame(HEADERS, b"\x00\x00\x21A\x01b")),
    "second_settings": on_control_stream(frame(SETTINGS, b"")),
    "max_push_id_decreases": on_control_stream(frame(MAX_PUSH_ID, b"\x10") + frame(MAX_PUSH_ID, b"\x0f")),
    "max_push_id_decreases_in_pieces": split(frame(MAX_PUSH_ID, b"\x10") + frame(MAX_PUSH_ID, b"\x0f")),
    "max_push_id_with_more": on_control_stream(frame(MAX_PUSH_ID, b"\x10\x00")),
    "max_push_id_empty": on_control_stream(frame(MAX_PUSH_ID, b"")),
    "max_push_id_cut": on_control_stream(frame(MAX_PUSH_ID, b"\x40") + frame(0x21, b"")),
    "goaway_with_more": on_control_stream(frame(GOAWAY, b"\x00\x00")),
    "goaway_with_more_in_pieces": split(frame(GOAWAY, b"\x00\x00")),
    "goaway_empty": on_control_stream(frame(GOAWAY, b"")),
    "goaway_increases": on_control_stream(frame(GOAWAY, b"\x00") + frame(GOAWAY, b"\x01")),
    "cancel_push_unpromised": on_control_stream(frame(MAX_PUSH_ID, b"\x10") + frame(CANCEL_PUSH, b"\x01")),
    "cancel_push_beyond_maximum": on_control_stream(frame(CANCEL_PUSH, b"\x01")),
    "cancel_push_with_more": on_control_stream(frame(CANCEL_PUSH, b"\x01\x00")),
    "push_promise_on_control": on_control_stream(frame(PUSH_PROMISE, b"\x00\x00\x00")),
    "http2_ping_on_control": on_control_stream(frame(0x6, b"\x00" * 8)),
    "settings_missing": as_control_stream(frame(GOAWAY, b"\x00")),
    "settings_behind_unknown": as_control_stream(frame(0x21, b"a") + frame(SETTINGS, b"")),
    "settings_of_http2": as_control_stream(frame(SETTINGS, b"\x03\x40\x64")),
    "settings_twice_the_same": as_control_stream(frame(SETTINGS, b"\x06\x40\x64\x06\x40\x64")),
    "settings_cut": as_control_stream(frame(SETTINGS, b"\x06") + frame(0x21, b"")),
    "oversized_on_control": on_control_stream(frame(0x21, b"", 1 << 34)),
    "data_on_control": on_control_stream(frame(DATA, b"x")),
    "headers_on_control": on_control_stream(frame(HEADERS, b"\x00\x00")),
    "control_closed": on_control_stream(b"", end=True),
    "second_control": on_new_unidirectional(bytes([CONTROL]) + frame(SETTINGS, b"")),
    "second_encoder": on_new_unidirectional(bytes([ENCODER])),
    "second_decoder": on_new_unidirectional(bytes([DECODER])),
    "encoder_closed": on_own_unidirectional("_local_encoder_stream_id", b"", end=True),
    "decoder_closed": on_own_unidirectional("_local_decoder_stream_id", b"", end=True),
    "encoder_capacity": on_own_unidirectional("_local_encoder_stream_id", b"\x3f\x01"),
    "encoder_insert": on_own_unidirectional("_local_encoder_stream_id", b"\x41x\x01y"),
    "decoder_acknowledges": on_own_unidirectional("_local_decoder_stream_id", b"\x80"),
    "decoder_counts": on_own_unidirectional("_local_decoder_stream_id", b"\x01"),
    "encoder_says_zero": on_own_unidirectional("_local_encoder_stream_id", b"\x20"),
    "decoder_cancels": on_own_unidirectional("_local_decoder_stream_id", b"\x40\x7f\x80\x01\x44"),
    "stream_without_type": on_new_unidirectional(b"", end=True),
    "push_stream": on_new_unidirectional(bytes([PUSH]) + b"\x00"),
    # Frames and streams that must be ignored (§9).
    "unknown_stream": on_new_unidirectional(encode_uint_var(0x21) + b"anything"),
    "unknown_on_control": on_control_stream(frame(0x21, b"anything")),
    "max_push_id_grows": on_control_stream(frame(MAX_PUSH_ID, b"\x10") + frame(MAX_PUSH_ID, b"\x40\x64")),
    "unknown_behind_head": behind_head(frame(0x21, b"anything")),
    # Malformed heads (§4.2, §4.3).
    "good": with_fields(GOOD),
    "no_method": with_fields([SCHEME, AUTHORITY, PATH, BEARER]),
    "no_path": with_fields([METHOD, SCHEME, AUTHORITY, BEARER]),
    "empty_path": with_fields([METHOD, SCHEME, AUTHORITY, (b":path", b""), BEARER]),
    "path_without_slash": with_fields([METHOD, SCHEME, AUTHORITY, (b":path", PING[1:].encode()), BEARER]),
    "two_paths": with_fields([METHOD, SCHEME, AUTHORITY, (b":path", b"/"), PATH, BEARER]),
    "status": with_fields([(b":status", b"200"), *GOOD]),
    "unknown_pseudo": with_fields([(b":x", b"1"), *GOOD]),
    "pseudo_behind_fields": with_fields([METHOD, SCHEME, AUTHORITY, BEARER, PATH]),
    "upper_case": with_fields([*GOOD, (b"X-Upper", b"1")]),
    "connection": with_fields([*GOOD, (b"connection", b"close")]),
    "transfer_encoding": with_fields([*GOOD, (b"transfer-encoding", b"chunked")]),
    "line_break_in_value": with_fields([*GOOD, (b"x-a", b"1\r\nx-b: 2")]),
    "nul_in_value": with_fields([*GOOD, (b"x-a", b"1\x002")]),
    "line_break_in_path": with_fields([METHOD, SCHEME, AUTHORITY, (b":path", PING.encode() + b"\r\n"), BEARER]),
    "blank_in_method": with_fields([(b":method", b"GET /x"), SCHEME, AUTHORITY, PATH, BEARER]),
    "length_without_content": with_fields([*GOOD, (b"content-length", b"10")]),
    "length_too_long": with_fields([*GOOD, JSON, (b"content-length", b"3")], b"{}"),
    "length_too_short": with_fields([*GOOD, JSON, (b"content-length", b"1")], b"{}"),
    "length_zero": with_fields([*GOOD, JSON, (b"content-length", b"0")], b"{}"),
    "length_no_number": with_fields([*GOOD, JSON, (b"content-length", b"+2")], b"{}"),
    "two_lengths": with_fields([*GOOD, JSON, (b"content-length", b"2"), (b"content-length", b"3")], b"{}"),
    "same_length_twice": with_fields([*GOOD, JSON, (b"content-length", b"2"), (b"content-length", b"2")], b"{}"),
    "length_right": with_fields([*GOOD, JSON, (b"content-length", b"2")], b"{}"),
    "keep_alive": with_fields([*GOOD, (b"keep-alive", b"timeout=5")]),
    "proxy_connection": with_fields([*GOOD, (b"proxy-connection", b"keep-alive")]),
    "upgrade": with_fields([*GOOD, (b"upgrade", b"websocket")]),
    "te_gzip": with_fields([*GOOD, (b"te", b"gzip")]),
    "te_trailers": with_fields([*GOOD, (b"te", b"trailers")]),
    "fragment": with_fields([METHOD, SCHEME, AUTHORITY, (b":path", PING.encode() + b"#x"), BEARER]),
    "empty_fragment": with_fields([METHOD, SCHEME, AUTHORITY, (b":path", PING.encode() + b"#"), BEARER]),
    "two_methods": with_fields([(b":method", b"POST"), *GOOD]),
    "two_schemes": with_fields([(b":scheme", b"http"), *GOOD]),
    "two_authorities": with_fields([(b":authority", b"other.example"), *GOOD]),
    "protocol": with_fields([METHOD, (b":protocol", b"webtransport"), SCHEME, AUTHORITY, PATH, BEARER]),
    "no_authority": with_fields([METHOD, SCHEME, PATH, BEARER]),
    "host_alone": with_fields([METHOD, SCHEME, PATH, (b"host", b"localhost"), BEARER]),
    "host_repeats": with_fields([*GOOD, (b"host", b"localhost")]),
    "host_differs": with_fields([*GOOD, (b"host", b"other.example")]),
    "two_hosts": with_fields([METHOD, SCHEME, PATH, (b"host", b"localhost"), (b"host", b"localhost"), BEARER]),
    "authority_with_path": with_fields([METHOD, SCHEME, (b":authority", b"local/host"), PATH, BEARER]),
    "authority_with_user": with_fields([METHOD, SCHEME, (b":authority", b"user@localhost"), PATH, BEARER]),
    "connect": with_fields([(b":method", b"CONNECT"), (b":authority", b"localhost:22"), BEARER]),
}


async def main():
    port, ca, key, names = int(sys.argv[1]), sys.argv[2], sys.argv[3], sys.argv[4:]
    seen = {}
    for name in names:
        case = CASES[name]
        async with h3.client(port, ca, idle=120.0, has_http=getattr(case, "has_http", True)) as client:
            seen[name] = await case(client, key)
    print(json.dumps(seen))


asyncio.run(main())

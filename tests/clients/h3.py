"""HTTP/3 over aioquic with access to its frames, for clients that must send or receive what no library would."""

import asyncio
import ssl
from contextlib import asynccontextmanager
from functools import partial

from aioquic.asyncio.client import connect
from aioquic.asyncio.protocol import QuicConnectionProtocol
from aioquic.buffer import Buffer, BufferReadError, encode_uint_var
from aioquic.h3.connection import H3_ALPN, H3Connection
from aioquic.h3.events import DataReceived, HeadersReceived
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.events import ConnectionTerminated, ProtocolNegotiated, StopSendingReceived, StreamDataReceived, StreamReset

AUTHORITY = b"localhost"
GOAWAY = 0x7


class Http(H3Connection):
    """Knows, as aioquic does not, that an answer to HEAD declares a length and has no content."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.heads = set()

    def _check_content_length(self, stream):
        if stream.stream_id not in self.heads:
            super()._check_content_length(stream)


class ControlStream:
    """The server's control stream, read beside aioquic, which passes over GOAWAY."""

    def __init__(self):
        self.data = b""
        self.frames = []
        # The first request that is not served, according to GOAWAY.
        self.refused_from = None

    def receive(self, data):
        self.data += data
        buffer = Buffer(data=self.data)
        self.frames = []
        try:
            if buffer.pull_uint_var() != 0:
                return
            while not buffer.eof():
                kind = buffer.pull_uint_var()
                payload = buffer.pull_bytes(buffer.pull_uint_var())
                self.frames.append(kind)
                if kind == GOAWAY:
                    self.refused_from = Buffer(data=payload).pull_uint_var() // 4
        except BufferReadError:
            pass  # The rest has not arrived yet.


class Client(QuicConnectionProtocol):
    """One connection. `events` of each stream come in the order in which they arrived."""

    def __init__(self, *args, has_http=True, **kwargs):
        super().__init__(*args, **kwargs)
        self.has_http = has_http
        self.http = None
        self.closed = asyncio.Event()
        self.close_code = None
        self.close_reason = ""
        self.streams = {}
        self.server_streams = {}
        self.reset_codes = set()

    @property
    def goaway(self):
        """Whether the server said that it will go."""
        return any(GOAWAY in stream.frames for stream in self.server_streams.values())

    @property
    def refused_from(self):
        """The first request that the server will not answer, from 0 on; None where it has not said so."""
        said = [stream.refused_from for stream in self.server_streams.values()]
        return next((number for number in said if number is not None), None)

    def quic_event_received(self, event):
        if isinstance(event, ProtocolNegotiated) and self.has_http:
            self.http = Http(self._quic)
        if isinstance(event, StreamDataReceived) and event.stream_id % 4 == 3:
            self.server_streams.setdefault(event.stream_id, ControlStream()).receive(event.data)
        if isinstance(event, ConnectionTerminated):
            self.close_code = event.error_code
            self.close_reason = event.reason_phrase
            self.closed.set()
            for queue in self.streams.values():
                queue.put_nowait(None)
        if isinstance(event, StreamReset):
            self.reset_codes.add(event.error_code)
        if isinstance(event, (StreamReset, StopSendingReceived)) and event.stream_id in self.streams:
            self.streams[event.stream_id].put_nowait(event)
        if self.http is not None:
            for http_event in self.http.handle_event(event):
                if http_event.stream_id in self.streams:
                    self.streams[http_event.stream_id].put_nowait(http_event)

    def open(self):
        """A new request stream on which nothing has been sent."""
        stream_id = self._quic.get_next_available_stream_id()
        # aioquic knows a stream from its first use; an empty write announces it.
        self._quic.send_stream_data(stream_id, b"")
        self.streams[stream_id] = asyncio.Queue()
        return stream_id

    def send(self, stream_id, data, end=False):
        """Bytes as they are; false when the server has stopped the stream."""
        try:
            self._quic.send_stream_data(stream_id, data, end)
        except (AssertionError, RuntimeError, ValueError):
            return False
        self.transmit()
        return True

    def headers(self, method, path, key=None, extra=()):
        fields = [
            (b":method", method.encode()),
            (b":scheme", b"https"),
            (b":authority", AUTHORITY),
            (b":path", path.encode()),
            (b"user-agent", b"aioquic"),
        ]
        if key is not None:
            fields.append((b"authorization", b"Bearer " + key.encode()))
        return fields + list(extra)

    def request(self, method, path, key=None, extra=(), end=True):
        stream_id = self._quic.get_next_available_stream_id()
        self.streams[stream_id] = asyncio.Queue()
        if method == "HEAD":
            self.http.heads.add(stream_id)
        self.http.send_headers(stream_id, self.headers(method, path, key, extra), end_stream=end)
        self.transmit()
        return stream_id

    async def answer(self, stream_id, within=10.0):
        """(status, fields, body) of a stream, or what came instead: `nothing`, `reset`, `closed`, `silent`."""
        status, fields, body = None, [], b""
        while True:
            try:
                event = await asyncio.wait_for(self.streams[stream_id].get(), within)
            except asyncio.TimeoutError:
                return ("silent", fields, body)
            if event is None:
                return ("closed", fields, body)
            if isinstance(event, StreamReset):
                return (status if status is not None else "reset", fields, body)
            if isinstance(event, StopSendingReceived):
                continue
            if isinstance(event, HeadersReceived):
                fields = [(name.decode(), value.decode()) for name, value in event.headers]
                status = int(dict(fields)[":status"])
            elif isinstance(event, DataReceived):
                body += event.data
            if event.stream_ended:
                return (status if status is not None else "nothing", fields, body)

    async def ask(self, method, path, key=None, extra=(), within=10.0):
        return await self.answer(self.request(method, path, key, extra), within)


def frame(kind, payload, length=None):
    """A frame; `length` lies about how long it is."""
    return encode_uint_var(kind) + encode_uint_var(len(payload) if length is None else length) + payload


def encode(client, stream_id, fields):
    """A field section of any size."""
    return client.http._encode_headers(stream_id, fields)


@asynccontextmanager
async def client(port, ca, host="127.0.0.1", idle=60.0, has_http=True):
    """A connection; without HTTP, it opens no streams by itself and reads none."""
    configuration = QuicConfiguration(
        alpn_protocols=H3_ALPN,
        is_client=True,
        server_name="localhost",
        verify_mode=ssl.CERT_REQUIRED,
        idle_timeout=idle,
    )
    configuration.load_verify_locations(ca)
    create = partial(Client, has_http=has_http)
    async with connect(host, port, configuration=configuration, create_protocol=create) as connected:
        await asyncio.wait_for(connected.wait_connected(), 10)
        yield connected


__all__ = ["Client", "client", "encode", "frame"]

"""muxado: many streams of bytes over one connection, as ngrok's agents and service speak it.

Written after the description in ngrok-rust (muxado/PROTOCOL.md), whose mask of SYN is binary, and the Go source. A
frame is a length (3 bytes), a type and flags (4 bits each), the number of the stream (4 bytes), all big-endian, and
the body. The client's streams have odd numbers from 3, the service's even ones from 2. Each side may send 256 KiB on a
stream before the other side has said, with a frame WINDOW, how much of it was consumed.
"""

from __future__ import annotations

import asyncio
import contextlib
import struct
from collections.abc import Awaitable, Callable, Coroutine

RESET, DATA, WINDOW, GOAWAY = range(4)
FIN, SYN = 0x1, 0x2
WINDOW_SIZE = 256 * 1024
STREAM_CLOSED = 4  # the code of an error: there is no such stream any more

# A large write is cut in pieces, so that other streams get their turn.
PIECE = 32 * 1024


def frame(kind: int, flags: int, number: int, body: bytes = b"") -> bytes:
    """Return a frame as it goes over the connection."""
    return struct.pack(">II", len(body) << 8 | kind << 4 | flags, number) + body


class Stream:
    """One stream of a session. It is read, and written, by one task at a time."""

    def __init__(self, session: Session, number: int, *, opening: bool) -> None:
        self.number = number
        self._session = session
        self._syn = SYN if opening else 0
        self._received = bytearray()
        self._may_send = WINDOW_SIZE
        self._ended = self._finished = self._broken = False
        self._changed = asyncio.Condition()

    async def read(self, limit: int = 64 * 1024) -> bytes:
        """Return some bytes, or none when the other side has finished."""
        async with self._changed:
            await self._changed.wait_for(lambda: self._received or self._ended or self._broken)
        data = bytes(self._received[:limit])
        del self._received[:limit]
        if data:
            await self._session.send(WINDOW, 0, self.number, struct.pack(">I", len(data)))
        elif self._broken and not self._ended:
            raise ConnectionResetError(f"stream {self.number} was reset")
        return data

    async def read_exactly(self, count: int) -> bytes:
        """Return that many bytes."""
        data = b""
        while len(data) < count:
            more = await self.read(count - len(data))
            if not more:
                raise EOFError(f"stream {self.number} ended after {len(data)} bytes of {count}")
            data += more
        return data

    async def write(self, data: bytes) -> None:
        """Send bytes, as soon as the other side takes them."""
        rest = memoryview(data)
        while rest:
            async with self._changed:
                await self._changed.wait_for(lambda: self._may_send > 0 or self._broken)
            piece = rest[: min(PIECE, self._may_send)]
            rest = rest[len(piece) :]
            self._may_send -= len(piece)
            await self._send(0, bytes(piece))

    async def finish(self) -> None:
        """Say that no more will be sent; the other side may go on sending."""
        self._finished = True
        await self._send(FIN)

    async def close(self) -> None:
        """Forget the stream, and reset it unless we have finished. Data that still comes, the session answers so."""
        self._session.streams.pop(self.number, None)
        if not (self._finished or self._broken):
            with contextlib.suppress(ConnectionError):
                await self._session.send(RESET, 0, self.number, struct.pack(">I", STREAM_CLOSED))

    async def receive(self, *, data: bytes = b"", ended: bool = False, window: int = 0, broken: bool = False) -> None:
        """Take what a frame brought."""
        async with self._changed:
            self._received += data
            self._may_send += window
            self._ended |= ended
            self._broken |= broken
            self._changed.notify_all()

    async def _send(self, flags: int, data: bytes = b"") -> None:
        if self._broken:
            raise ConnectionResetError(f"stream {self.number} was reset")
        flags, self._syn = flags | self._syn, 0
        await self._session.send(DATA, flags, self.number, data)


class Session:
    """One side of a connection: the service's, or with `client` the agent's.

    `serve` is called, in a task of its own, with each stream that the other side opens. The stream is closed after it.
    """

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter,
        serve: Callable[[Stream], Awaitable[None]], *, client: bool = False,
    ) -> None:  # fmt: skip
        self.streams: dict[int, Stream] = {}
        self._reader, self._writer, self._serve = reader, writer, serve
        self._next = 3 if client else 2
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Take frames until the connection ends. Then all its streams are reset."""
        try:
            # A connection that breaks off ends a session like one that is closed.
            with contextlib.suppress(OSError, EOFError):
                while True:
                    await self._take_frame()
        finally:
            self.abort()
            for stream in list(self.streams.values()):
                await stream.receive(broken=True)

    async def open(self, beginning: bytes) -> Stream:
        """Open a stream whose first frame has these bytes."""
        stream = self._add(self._next, opening=True)
        self._next += 2
        await stream.write(beginning)
        return stream

    async def send(self, kind: int, flags: int, number: int, body: bytes = b"") -> None:
        """Send a frame."""
        if self._writer.is_closing():
            raise ConnectionResetError("the session has ended")
        self._writer.write(frame(kind, flags, number, body))
        await self._writer.drain()

    def start(self, work: Coroutine[None, None, None]) -> None:
        """Run something as a task that lives at most as long as the loop."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def abort(self) -> None:
        """Break the connection off without a word."""
        self._writer.transport.abort()

    def _add(self, number: int, *, opening: bool) -> Stream:
        self.streams[number] = Stream(self, number, opening=opening)
        return self.streams[number]

    async def _take_frame(self) -> None:
        head, number = struct.unpack(">II", await self._reader.readexactly(8))
        length, kind, flags = head >> 8, head >> 4 & 0xF, head & 0xF
        body = await self._reader.readexactly(length)
        if kind == DATA and flags & SYN:
            self.start(self._serve_and_close(self._add(number, opening=False)))
        stream = self.streams.get(number)
        if kind == GOAWAY:
            raise EOFError("the other side has ended the session")
        if stream is None:
            # An empty last frame crosses our own closing of a stream; other data has nowhere to go.
            if kind == DATA and body:
                await self.send(RESET, 0, number, struct.pack(">I", STREAM_CLOSED))
        elif kind == DATA:
            await stream.receive(data=body, ended=bool(flags & FIN))
        elif kind == WINDOW:
            await stream.receive(window=struct.unpack(">I", body)[0])
        elif kind == RESET:
            await stream.receive(broken=True)

    async def _serve_and_close(self, stream: Stream) -> None:
        try:
            with contextlib.suppress(ConnectionError, EOFError):  # the other side may leave in the middle of anything
                await self._serve(stream)
        finally:
            await stream.close()

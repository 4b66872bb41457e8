"""A client of SPDY/3.1 as its specification has it (draft-mbelshe-httpbis-spdy-00 and the changes of 3.1),
and the way in which Kubernetes' clients use it. Windows are neither kept nor announced: none of them does."""

import json
import socket
import struct
import zlib
from urllib.parse import urlsplit

WORDS = (
    "options head post put delete trace accept accept-charset accept-encoding accept-language accept-ranges age "
    "allow authorization cache-control connection content-base content-encoding content-language content-length "
    "content-location content-md5 content-range content-type date etag expect expires from host if-match "
    "if-modified-since if-none-match if-range if-unmodified-since last-modified location max-forwards pragma "
    "proxy-authenticate proxy-authorization range referer retry-after server te trailer transfer-encoding upgrade "
    "user-agent vary via warning www-authenticate method get status"
).split() + ["200 OK", "version", "HTTP/1.1", "url", "public", "set-cookie", "keep-alive", "origin"]
VALUES = (
    "100101201202205206300302303304305306307402405406407408409410411412413414415416417502504505"
    "203 Non-Authoritative Information204 No Content301 Moved Permanently400 Bad Request401 Unauthorized"
    "403 Forbidden404 Not Found500 Internal Server Error501 Not Implemented503 Service Unavailable"
    "Jan Feb Mar Apr May Jun Jul Aug Sept Oct Nov Dec 00:00:00 Mon, Tue, Wed, Thu, Fri, Sat, Sun, GMT"
    "chunked,text/html,image/png,image/jpg,image/gif,application/xml,application/xhtml+xml,text/plain,"
    "text/javascript,publicprivatemax-age=gzip,deflate,sdchcharset=utf-8charset=iso-8859-1,utf-,*,enq=0."
)
DICTIONARY = b"".join(struct.pack(">I", len(word)) + word.encode() for word in WORDS) + VALUES.encode()
assert (len(DICTIONARY), zlib.adler32(DICTIONARY)) == (1423, 0xE3C6A7C2)

SYN_STREAM, SYN_REPLY, RST_STREAM, PING, GOAWAY = 1, 2, 3, 6, 7
FIN = 1


class Refused(Exception):
    """The server answered the upgrade with something else than 101."""

    def __init__(self, status: int, body: str):
        super().__init__(f"{status}: {body}")
        self.status, self.body = status, body


class Connection:
    """One upgraded connection. `data` has what came on each stream, `ended` the streams that the server has
    closed or reset."""

    def __init__(self, url: str, *protocols: str, timeout: float = 60):
        parts = urlsplit(url)
        self.socket = socket.create_connection((parts.hostname, parts.port), timeout=timeout)
        self.file = self.socket.makefile("rb")
        lines = [f"POST {parts.path} HTTP/1.1", f"Host: {parts.netloc}", "Content-Length: 0"]
        lines += ["Connection: Upgrade", "Upgrade: SPDY/3.1"]
        lines += [f"X-Stream-Protocol-Version: {name}" for name in protocols]
        self.socket.sendall(("\r\n".join(lines) + "\r\n\r\n").encode())
        self.code, self.headers = self._response()
        if self.code != 101:
            body = self.file.read(int(self.headers.get("content-length", 0))).decode()
            self.close()
            raise Refused(self.code, body)
        self._deflate = zlib.compressobj(zdict=DICTIONARY)
        self._inflate = zlib.decompressobj(zdict=DICTIONARY)
        self._next = 1
        self.data: dict[int, bytearray] = {}
        self.replied: set[int] = set()
        self.ended: set[int] = set()
        self.went_away = None

    def _response(self):
        status = int(self.file.readline().split()[1])
        headers = {}
        while (line := self.file.readline().strip()) != b"":
            name, _, value = line.partition(b":")
            headers[name.decode().lower()] = value.strip().decode()
        return status, headers

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.file.close()
        self.socket.close()

    # What is sent.

    def open(self, wait: bool = True, **headers: str) -> int:
        stream = self._next
        self._next += 2
        block = struct.pack(">I", len(headers))
        for name, value in headers.items():
            block += struct.pack(">I", len(name)) + name.encode() + struct.pack(">I", len(value)) + value.encode()
        packed = self._deflate.compress(block) + self._deflate.flush(zlib.Z_SYNC_FLUSH)
        self._control(SYN_STREAM, 0, struct.pack(">IIH", stream, 0, 0) + packed)
        while wait and stream not in self.replied | self.ended:
            self.step()
        return stream

    def send(self, stream: int, data: bytes, fin: bool = False):
        for start in range(0, max(len(data), 1), 32 << 10):
            piece = data[start : start + (32 << 10)]
            last = fin and start + len(piece) >= len(data)
            self.socket.sendall(struct.pack(">IB", stream, FIN if last else 0) + len(piece).to_bytes(3, "big") + piece)

    def _control(self, kind: int, flags: int, payload: bytes):
        self.socket.sendall(struct.pack(">HHB", 0x8003, kind, flags) + len(payload).to_bytes(3, "big") + payload)

    # What comes.

    def step(self):
        """Takes one frame. Raises ConnectionError where the connection has ended."""
        header = self._read(8)
        (first,) = struct.unpack(">I", header[:4])
        flags, payload = header[4], self._read(int.from_bytes(header[5:], "big"))
        if not first & 0x80000000:
            self.data.setdefault(first, bytearray()).extend(payload)
            if flags & FIN:
                self.ended.add(first)
            return
        kind = first & 0xFFFF
        (stream,) = struct.unpack(">I", payload[:4])
        if kind == SYN_REPLY:
            assert self._inflate.decompress(payload[4:]) == bytes(4)
            self.replied.add(stream)
        elif kind == RST_STREAM:
            self.ended.add(stream)
        elif kind == PING and stream % 2 == 0:
            self._control(PING, 0, payload)
        elif kind == GOAWAY:
            self.went_away = struct.unpack(">II", payload)[1]

    def _read(self, count: int) -> bytes:
        data = self.file.read(count)
        if len(data) < count:
            raise ConnectionError("the server has ended the connection")
        return data

    def until_ended(self, *streams: int):
        while not set(streams) <= self.ended:
            self.step()


class Command(Connection):
    """Exec or attach: `streams` by their type."""

    def __init__(self, url: str, *types: str, version: str = "v4.channel.k8s.io", **options):
        super().__init__(url, version, **options)
        self.streams = {kind: self.open(streamtype=kind) for kind in ("error", *types)}

    def write(self, data: bytes, fin: bool = False):
        self.send(self.streams["stdin"], data, fin)

    def resize(self, columns: int, rows: int):
        self.send(self.streams["resize"], json.dumps({"Width": columns, "Height": rows}).encode())

    def got(self, kind: str) -> bytes:
        return bytes(self.data.get(self.streams[kind], b""))

    def until(self, text: bytes, kind: str = "stdout"):
        while text not in self.got(kind):
            self.step()

    def finish(self) -> "Command":
        self.until_ended(*self.streams.values())
        return self

    def status(self) -> dict:
        self.finish()
        return json.loads(self.got("error"))

    def exit_code(self) -> int:
        status = self.status()
        if status["status"] == "Success":
            return 0
        assert status["reason"] == "NonZeroExitCode", status
        return int(next(cause["message"] for cause in status["details"]["causes"] if cause["reason"] == "ExitCode"))


class PortForward(Connection):
    def __init__(self, url: str, **options):
        super().__init__(url, "portforward.k8s.io", **options)
        self._requests = 0

    def connect(self, port: int) -> tuple[int, int]:
        """The error and the data stream of a new connection."""
        headers = dict(port=str(port), requestid=str(self._requests))
        self._requests += 1
        error = self.open(streamtype="error", **headers)
        self.send(error, b"", fin=True)
        return error, self.open(streamtype="data", **headers)

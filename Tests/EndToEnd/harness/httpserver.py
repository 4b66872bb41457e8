"""HTTP on loopback, for servers that tests make up."""

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class QuietHandler(BaseHTTPRequestHandler):
    """Keeps connections open, and says nothing on the tests' own output."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass


class LoopbackServer:
    """Serves on a port of its own until it is closed; `address` is host and port."""

    def __init__(self, handler: type[QuietHandler]):
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._server.daemon_threads = True
        self.address = f"127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self):
        self._server.shutdown()
        self._server.server_close()

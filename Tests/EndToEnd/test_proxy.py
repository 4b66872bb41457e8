"""A daemon that reaches registries by a proxy only."""

import base64
import http.client
from urllib.parse import urlsplit

import pytest

from harness.errors import fails
from harness.httpserver import LoopbackServer, QuietHandler


@pytest.fixture
def proxy(registry):
    """Passes what it is asked for plainly on to the registry, whatever its name, and makes no tunnels."""

    class Proxy(QuietHandler):
        asked = []

        def do_GET(self):
            self.asked.append((self.path, self.headers["Proxy-Authorization"]))
            target = http.client.HTTPConnection(registry.host)
            target.request("GET", urlsplit(self.path).path, headers={"Accept": self.headers["Accept"]})
            answer = target.getresponse()
            body = answer.read()
            self.send_response(answer.status)
            for name in ("Content-Type", "Docker-Content-Digest"):
                if name in answer.headers:
                    self.send_header(name, answer.headers[name])
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)
            target.close()

        def do_CONNECT(self):
            self.asked.append((self.path, self.headers["Proxy-Authorization"]))
            self.send_error(407)

    server = LoopbackServer(Proxy)
    server.asked = Proxy.asked
    yield server
    server.close()


def test_the_environment_names_the_proxy(own_node, registry, images, proxy):
    node = own_node(start=False)
    node.trust("far.test")
    url = f"http://someone:secret-word@{proxy.address}"
    node.start(HTTP_PROXY=url, HTTPS_PROXY=url, NO_PROXY="excepted.invalid,10.0.0.0/8")
    node.pull("far.test/test/plain:1")
    assert node.image("far.test/test/plain:1")
    authorization = "Basic " + base64.b64encode(b"someone:secret-word").decode()
    assert len(proxy.asked) >= 3
    assert all(path.startswith("http://far.test/v2/test/plain/") and value == authorization for path, value in proxy.asked)

    # Registries of this machine, and those that are excepted, are asked themselves.
    del proxy.asked[:]
    node.pull(images.other)
    with fails("UNAVAILABLE", match="excepted.invalid"):
        node.pull("excepted.invalid/app:1")
    assert not proxy.asked

    with fails("UNAVAILABLE", match="407"):
        node.pull("tunnel.test/app:1")
    assert {path for path, _ in proxy.asked} == {"tunnel.test:443"}
    assert "secret-word" not in node.tail(1 << 20)

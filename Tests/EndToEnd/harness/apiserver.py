"""As much of Kubernetes' API server, and of the kubelet behind it, as kubectl needs to execute, attach and
forward: it finds pods that a test shows it, asks the daemon by CRI for an URL as the kubelet does, and from
then on passes bytes between kubectl and that URL without looking at them."""

import json
import socket
import threading
from urllib.parse import parse_qs, urlsplit

import grpc

from harness.httpserver import LoopbackServer, QuietHandler
from harness.node import Container, Node, Pod

NAMESPACE = "tests"
RESOURCES = [
    {"name": "pods", "singularName": "pod", "namespaced": True, "kind": "Pod", "verbs": ["get", "list"]},
    *(
        {"name": f"pods/{name}", "singularName": "", "namespaced": True, "kind": kind, "verbs": ["create", "get"]}
        for name, kind in (("exec", "PodExecOptions"), ("attach", "PodAttachOptions"), ("portforward", "PodPortForwardOptions"))
    ),
]


class ApiServer(LoopbackServer):
    """Serves plain HTTP on loopback, to whoever asks, until it is closed."""

    def __init__(self, node: Node):
        self.node = node
        self._pods: dict[str, tuple[Pod, dict[str, Container]]] = {}
        # What was upgraded: the path's last word and the protocol that client and daemon agreed on.
        self.upgrades: list[tuple[str, str]] = []
        super().__init__(self._handler())
        self.url = f"http://{self.address}"

    def show(self, *containers: Container):
        """Lets clients see these containers and their pods."""
        for container in containers:
            _, shown = self._pods.setdefault(container.pod.config.metadata.name, (container.pod, {}))
            shown[container.config.metadata.name] = container

    def hide(self, container: Container):
        self._pods[container.pod.config.metadata.name][1].pop(container.config.metadata.name)

    # What it answers.

    def document(self, path: str) -> dict | None:
        """What there is to GET; None where there is nothing."""
        match path.strip("/").split("/"):
            case ["version"]:
                return {"major": "1", "minor": "33", "gitVersion": "v1.33.0"}
            case ["api"]:
                return {"kind": "APIVersions", "versions": ["v1"]}
            case ["apis"]:
                return {"kind": "APIGroupList", "apiVersion": "v1", "groups": []}
            case ["api", "v1"]:
                return {"kind": "APIResourceList", "groupVersion": "v1", "resources": RESOURCES}
            case ["api", "v1", "namespaces", namespace, "pods", name] if namespace == NAMESPACE and name in self._pods:
                return self._pod(*self._pods[name])
        return None

    def _pod(self, pod: Pod, containers: dict[str, Container]) -> dict:
        return {
            "kind": "Pod",
            "apiVersion": "v1",
            "metadata": {"name": pod.config.metadata.name, "namespace": NAMESPACE, "uid": pod.config.metadata.uid},
            "spec": {
                "containers": [
                    {"name": name, "image": one.config.image.image, "stdin": one.config.stdin, "tty": one.config.tty}
                    for name, one in containers.items()
                ]
            },
            "status": {"phase": "Running"},
        }

    def stream_url(self, name: str, action: str, asked: dict[str, list[str]]) -> str:
        """Where the daemon serves it."""
        pod, containers = self._pods[name]
        if action == "portforward":
            return self.node.cri.PortForward(pod_sandbox_id=pod.id, port=map(int, asked.get("ports", []))).url
        container = containers[asked["container"][0]]
        streams = {kind: asked.get(kind) in (["true"], ["1"]) for kind in ("stdin", "stdout", "stderr", "tty")}
        if action == "attach":
            return self.node.cri.Attach(container_id=container.id, **streams).url
        return self.node.cri.Exec(container_id=container.id, cmd=asked["command"], **streams).url

    def _handler(self):
        api = self

        class Handler(QuietHandler):
            def do_GET(self):
                url = urlsplit(self.path)
                match url.path.strip("/").split("/"):
                    case ["api", "v1", "namespaces", _, "pods", name, "exec" | "attach" | "portforward" as action]:
                        return self.stream(name, action, parse_qs(url.query))
                document = api.document(url.path)
                if document is None:
                    return self.fail(404, "NotFound", f"{url.path} not found")
                self.reply(200, document)

            do_POST = do_GET

            def reply(self, status: int, document: dict):
                body = json.dumps(document).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def fail(self, code: int, reason: str, message: str):
                status = {"kind": "Status", "apiVersion": "v1", "status": "Failure"}
                self.reply(code, {**status, "reason": reason, "message": message, "code": code})

            def stream(self, name: str, action: str, asked: dict[str, list[str]]):
                try:
                    url = urlsplit(api.stream_url(name, action, asked))
                except grpc.RpcError as error:
                    return self.fail(500, "InternalError", error.details())
                self.close_connection = True
                with socket.create_connection((url.hostname, url.port)) as daemon:
                    kept = [f"{key}: {value}" for key, value in self.headers.items() if key.lower() != "host"]
                    lines = [f"{self.command} {url.path} HTTP/1.1", f"Host: {url.netloc}", *kept]
                    daemon.sendall(("\r\n".join(lines) + "\r\n\r\n").encode())
                    # Registered before kubectl can know: a test looks when kubectl has ended.
                    head = daemon.recv(65536)
                    api.upgrades.append((action, self.protocol(head)))
                    self.wfile.write(head)
                    self.join(daemon)

            @staticmethod
            def protocol(head: bytes) -> str:
                """What the daemon has agreed to, from its answer's header."""
                headers = dict(line.lower().split(": ", 1) for line in head.decode("latin-1").split("\r\n") if ": " in line)
                return headers.get("sec-websocket-protocol") or headers.get("x-stream-protocol-version", "none")

            def join(self, daemon: socket.socket):
                """Both directions at once; as in the kubelet's proxy the end of one ends the other."""
                ended = threading.Event()

                def copy(read, write):
                    try:
                        while piece := read(1 << 16):
                            write(piece)
                    except OSError:
                        pass
                    ended.set()

                directions = [(self.rfile.read1, daemon.sendall), (daemon.recv, self.wfile.write)]
                threads = [threading.Thread(target=copy, args=both, daemon=True) for both in directions]
                for thread in threads:
                    thread.start()
                ended.wait()
                for end in (daemon, self.connection):
                    try:
                        end.shutdown(socket.SHUT_RDWR)
                    except OSError:
                        pass
                for thread in threads:
                    thread.join()

        return Handler

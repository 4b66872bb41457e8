"""The tests' echo service on C-core: echo_server.py SOCKET. Prints "ready" and serves until its input ends."""

import sys
import time
from concurrent import futures

import grpc


def mirrored(context):
    return tuple((k, v) for k, v in context.invocation_metadata() if k.startswith("x-"))


def unary(request, context):
    context.send_initial_metadata(mirrored(context))
    context.set_trailing_metadata(mirrored(context))
    return request


def collect(requests, context):
    return b"".join(requests)


def expand(request, context):
    count, size = (int(part) for part in request.split())
    for _ in range(count):
        yield b"\7" * size


def chat(requests, context):
    yield from requests


def fail(request, context):
    context.set_trailing_metadata((("x-why", "because"),))
    context.abort(grpc.StatusCode.FAILED_PRECONDITION, request.decode())


def wait(request, context):
    context.add_callback(lambda: print("cancelled", flush=True))
    print("waiting", flush=True)
    while context.is_active():
        time.sleep(0.01)
    return b""


HANDLERS = {
    "Unary": grpc.unary_unary_rpc_method_handler(unary),
    "Collect": grpc.stream_unary_rpc_method_handler(collect),
    "Expand": grpc.unary_stream_rpc_method_handler(expand),
    "Chat": grpc.stream_stream_rpc_method_handler(chat),
    "Fail": grpc.unary_unary_rpc_method_handler(fail),
    "Wait": grpc.unary_unary_rpc_method_handler(wait),
}

server = grpc.server(
    futures.ThreadPoolExecutor(8),
    options=[("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)],
)
server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("test.Echo", HANDLERS),))
server.add_insecure_port("unix:" + sys.argv[1])
server.start()
print("ready", flush=True)
sys.stdin.read()
server.stop(0)

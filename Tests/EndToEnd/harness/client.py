"""A gRPC client (grpcio, so C-core) on a unix socket, with every call by its name."""

import grpc
from google.protobuf import message_factory

from harness.proto import Api

# The kubelet's deadline for most calls is two minutes; nothing here takes half of that.
DEADLINE = 60.0
MAX_MESSAGE = 64 << 20


class Client:
    """`client.RunPodSandbox(config=..., deadline=10)`: the request's fields as keywords, and the call's
    deadline in seconds; answers the response, or for a streaming method the call to iterate over."""

    def __init__(self, socket: str, api: Api, deadline: float = DEADLINE, connect_ms: int = 50):
        self.deadline = deadline
        self.api = api
        self.channel = grpc.insecure_channel(
            f"unix:{socket}",
            options=[
                ("grpc.max_receive_message_length", MAX_MESSAGE),
                ("grpc.max_send_message_length", MAX_MESSAGE),
                # Tests that look at a daemon that restarts reconnect at once.
                ("grpc.initial_reconnect_backoff_ms", 50),
                # To C-core this is also how long a connection may take until the server's first frame.
                ("grpc.min_reconnect_backoff_ms", connect_ms),
                ("grpc.max_reconnect_backoff_ms", max(connect_ms, 100)),
                # A channel of its own, not one shared with another client of the same socket.
                ("grpc.use_local_subchannel_pool", 1),
            ],
        )
        self._methods = {}
        for service in api.services.values():
            for method in service.methods:
                self._methods[method.name] = self._bind(service, method)

    def _bind(self, service, method):
        request = message_factory.GetMessageClass(method.input_type)
        response = message_factory.GetMessageClass(method.output_type)
        make = self.channel.unary_stream if method.server_streaming else self.channel.unary_unary
        call = make(
            f"/{service.full_name}/{method.name}",
            request_serializer=request.SerializeToString,
            response_deserializer=response.FromString,
        )

        def invoke(deadline=None, **fields):
            return call(request(**fields), timeout=deadline or self.deadline)

        def future(deadline=None, wait_for_ready=None, metadata=None, **fields):
            return call.future(
                request(**fields), timeout=deadline or self.deadline, wait_for_ready=wait_for_ready, metadata=metadata
            )

        invoke.future = future
        invoke.streaming = method.server_streaming
        return invoke

    def __getattr__(self, name):
        try:
            return self.__dict__["_methods"][name]
        except KeyError:
            raise AttributeError(name) from None

    def names(self):
        return sorted(self._methods)

    def close(self):
        self.channel.close()

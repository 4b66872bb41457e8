"""C-core's view of our server: echo_client.py SOCKET. Exits with an error at the first surprise."""

import statistics
import sys
import time

import grpc

LIMIT = 16 << 20


def expect(condition, what):
    if not condition:
        sys.exit("unexpected: " + what)


def status_of(call):
    try:
        call()
    except grpc.RpcError as error:
        return error
    sys.exit("the call succeeded")


def metadata_and_unary(channel):
    metadata = (("x-text", "hello"), ("x-more-bin", b"\0\xff\1"))
    reply, call = channel.unary_unary("/test.Echo/Unary").with_call(b"abc", metadata=metadata)
    expect(reply == b"abc", "reply %r" % reply)
    for received in (dict(call.initial_metadata()), dict(call.trailing_metadata())):
        expect(received["x-text"] == "hello" and received["x-more-bin"] == b"\0\xff\1", "metadata %r" % received)


def streaming(channel):
    reply = channel.stream_unary("/test.Echo/Collect")(bytes([i]) for i in range(200))
    expect(reply == bytes(range(200)), "collect")
    sizes = [len(m) for m in channel.unary_stream("/test.Echo/Expand")(b"1000 3000")]
    expect(sizes == [3000] * 1000, "expand")
    replies = list(channel.stream_stream("/test.Echo/Chat")(b"%d" % i for i in range(500)))
    expect(replies == [b"%d" % i for i in range(500)], "chat")


def failures(channel):
    text = "größer als 100%\n\U0001f600"
    error = status_of(lambda: channel.unary_unary("/test.Echo/Fail")(text.encode()))
    expect(error.code() == grpc.StatusCode.FAILED_PRECONDITION and error.details() == text, "fail: %r" % error)
    expect(dict(error.trailing_metadata())["x-why"] == "because", "fail: metadata")
    error = status_of(lambda: channel.unary_unary("/no.Such/Method")(b""))
    expect(error.code() == grpc.StatusCode.UNIMPLEMENTED, "unimplemented: %r" % error)
    error = status_of(lambda: channel.unary_unary("/test.Echo/Wait")(b"", timeout=0.2))
    expect(error.code() == grpc.StatusCode.DEADLINE_EXCEEDED, "deadline: %r" % error)
    compressed = channel.unary_unary("/test.Echo/Unary")
    error = status_of(lambda: compressed(b"a" * 1000, compression=grpc.Compression.Gzip))
    expect(error.code() == grpc.StatusCode.UNIMPLEMENTED, "compression: %r" % error)


def cancellation(channel):
    call = channel.unary_unary("/test.Echo/Wait").future(b"")
    time.sleep(0.2)
    call.cancel()
    expect(call.code() == grpc.StatusCode.CANCELLED, "cancel: %r" % call.code())


def limits(channel):
    unary = channel.unary_unary("/test.Echo/Unary")
    whole = bytes(LIMIT)
    expect(unary(whole) == whole, "16 MiB")
    error = status_of(lambda: unary(whole + b"x"))
    expect(error.code() == grpc.StatusCode.RESOURCE_EXHAUSTED, "too large a request: %r" % error)
    expect(str(LIMIT) in error.details(), "too large a request: %s" % error.details())
    error = status_of(lambda: list(channel.unary_stream("/test.Echo/Expand")(b"1 %d" % (LIMIT + 1))))
    expect(error.code() == grpc.StatusCode.RESOURCE_EXHAUSTED, "too large a response: %r" % error)


def latency(channel):
    unary = channel.unary_unary("/test.Echo/Unary")
    times = []
    for _ in range(2000):
        start = time.perf_counter()
        unary(b"version", timeout=5)
        times.append((time.perf_counter() - start) * 1000)
    cuts = statistics.quantiles(times, n=100)
    print("unary p50 %.3f ms, p99 %.3f ms" % (cuts[49], cuts[98]))


def throughput(channel):
    start = time.perf_counter()
    total = sum(len(m) for m in channel.unary_stream("/test.Echo/Expand")(b"2000 65536"))
    print("streaming %.0f MB/s" % (total / (time.perf_counter() - start) / 1e6))


SCENARIOS = [metadata_and_unary, streaming, failures, cancellation, limits, latency, throughput]

with grpc.insecure_channel(
    "unix:" + sys.argv[1],
    options=[("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)],
) as channel:
    for scenario in SCENARIOS:
        scenario(channel)
        print("ok", scenario.__name__, flush=True)

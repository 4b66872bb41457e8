"""What an RPC that must fail has to look like."""

import re
from contextlib import contextmanager

import grpc


@contextmanager
def fails(*codes: str, match: str = ""):
    """The body's RPC fails with one of these gRPC codes and a message that matches."""
    try:
        yield
    except grpc.RpcError as error:
        assert error.code().name in codes, f"{error.code().name}: {error.details()}"
        assert error.details(), "an error needs a message that says what to do"
        assert re.search(match, error.details(), re.IGNORECASE), f"no {match!r} in: {error.details()}"
        return
    raise AssertionError(f"the call succeeded, {' or '.join(codes)} was expected")

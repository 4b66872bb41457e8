"""The CRI's log format: `RFC3339Nano stdout|stderr F|P text`."""

import re
from dataclasses import dataclass
from pathlib import Path

LINE = re.compile(rb"^(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{1,9}(?:Z|[+-]\d\d:\d\d)) (stdout|stderr) ([FP]) (.*)$", re.DOTALL)


@dataclass
class Entry:
    time: bytes
    stream: str
    partial: bool
    text: bytes


def entries(path: Path) -> list[Entry]:
    """Every line of the log; fails on one that isn't in the format."""
    data = path.read_bytes() if path.exists() else b""
    assert not data or data.endswith(b"\n"), f"{path} ends in the middle of a line"
    result = []
    for line in data.split(b"\n")[:-1]:
        match = LINE.match(line)
        assert match, f"not a log line: {line[:200]!r}"
        time, stream, tag, text = match.groups()
        result.append(Entry(time, stream.decode(), tag == b"P", text))
    return result


def text(path: Path, stream: str = "stdout") -> bytes:
    """What the container wrote to the stream, put together again."""
    return b"".join(e.text + (b"" if e.partial else b"\n") for e in entries(path) if e.stream == stream)


def lines(path: Path, stream: str = "stdout") -> list[str]:
    return text(path, stream).decode(errors="surrogateescape").splitlines()

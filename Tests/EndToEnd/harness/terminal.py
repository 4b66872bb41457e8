"""A program in a terminal of its own, as a person at a keyboard has it."""

import errno
import fcntl
import os
import pty
import re
import select
import signal
import struct
import termios
import time
import tty


class Terminal:
    """`with Terminal(["bulkheadctl", ...]) as terminal: terminal.type("ls\\n"); terminal.wait_for("bin")`"""

    def __init__(self, arguments: list[str], columns: int = 80, rows: int = 24):
        self.output = b""
        self.status: int | None = None
        # The test's own end of the terminal's slave side, to look at its settings.
        self.pid, self.master = pty.fork()
        if self.pid == 0:
            try:
                os.execv(arguments[0], arguments)
            finally:
                os._exit(127)
        self.resize(columns, rows)
        self.before = None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.status is None:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
        os.close(self.master)

    def resize(self, columns: int, rows: int):
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def is_raw(self) -> bool:
        return not termios.tcgetattr(self.master)[tty.LFLAG] & termios.ICANON

    def type(self, text: str | bytes):
        os.write(self.master, text.encode() if isinstance(text, str) else text)

    def _read(self, seconds: float) -> bool:
        """Whether there may be more."""
        if not select.select([self.master], [], [], max(seconds, 0))[0]:
            return True
        try:
            data = os.read(self.master, 65536)
        except OSError as error:
            if error.errno != errno.EIO:
                raise
            return False
        self.output += data
        return bool(data)

    def wait_for(self, pattern: str, seconds: float = 20) -> re.Match:
        """The first match in what was shown since the last one that was waited for."""
        end = time.monotonic() + seconds
        while True:
            match = re.search(pattern.encode(), self.output)
            if match:
                self.output = self.output[match.end() :]
                return match
            more = self._read(end - time.monotonic())
            if time.monotonic() > end or not more:
                match = re.search(pattern.encode(), self.output)
                assert match, f"no {pattern!r} in {self.output!r}"
                return match

    def wait(self, seconds: float = 20) -> int:
        """The program's exit code, negative for a signal."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.status = status
                while self._read(0.1) and select.select([self.master], [], [], 0.1)[0]:
                    pass
                return os.waitstatus_to_exitcode(status)
            self._read(0.05)
        raise AssertionError(f"still running after {seconds} s; it showed {self.output!r}")

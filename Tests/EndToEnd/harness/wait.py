"""Waiting for something to become true, with a deadline and a reason."""

import time


def until(condition, what: str, seconds: float = 30, every: float = 0.05):
    """Calls `condition` until it answers something true, which is returned."""
    end = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"not within {seconds} s: {what}")
        time.sleep(every)

"""Child processes that are measured in the processor's seconds and end with whoever started them.

On a machine that is shared with others a clock on the wall measures the others too; user and system
time are the process's own.
"""
import os
import signal
import subprocess
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any


class Processes:
    """The children that run now; `end` stops them all, and no other starts after that."""

    def __init__(self) -> None:
        self._lock, self._alive, self._ended = threading.Lock(), set(), False

    def run(self, command: Sequence[str], patience: float, **how: Any) -> tuple[int, float]:
        """Run a command to its end, which comes after `patience` seconds at the latest.

        how  what subprocess.Popen takes, files for the output among it
        -> its exit status, negative for the signal that stopped it; its seconds of processor time
        """
        with self._lock:
            if self._ended:
                return -signal.SIGKILL, 0.0
            child = subprocess.Popen(command, stdin=subprocess.DEVNULL, **how)
            self._alive.add(child.pid)
        guard = threading.Timer(patience, _kill, [child.pid])
        guard.start()
        try:
            _, status, used = os.wait4(child.pid, 0)
        finally:
            guard.cancel()
            self._alive.discard(child.pid)
        child.returncode = os.waitstatus_to_exitcode(status)
        return child.returncode, used.ru_utime + used.ru_stime

    def end(self) -> None:
        """Stop every child."""
        with self._lock:
            self._ended = True
            for pid in tuple(self._alive):
                _kill(pid)


@contextmanager
def terminated_as_interrupted() -> Iterator[None]:
    """Within it SIGTERM is what Ctrl-C is, a KeyboardInterrupt, so that the one cleans up as the other does."""
    if threading.current_thread() is not threading.main_thread():       # Python lets no other set a handler
        yield
        return
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _kill(pid: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)

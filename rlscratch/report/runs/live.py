"""A run's page at 127.0.0.1 while it trains, by the standard library's server in a process of its own.

The process that trains binds the port before anything else, so a port in use ends the command with one line.  It
hands the socket to a child, which reads the run's folder and draws; the trainer loses no time but the processor's.
The child ends when its standard input does: with the trainer, however that ends.

Nobody else is served: the socket is the loopback's, and a request must name it as its host.
"""
import argparse
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from html import escape
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from rlscratch import check

HOST, PORT = "127.0.0.1", 8000
WATCHED = ("metrics.jsonl", "result.json", "samples.json")


def listening(port: int) -> socket.socket:
    """A socket that listens at the port; 0 for any that is free.  Raises ValueError for one that is not."""
    check.integer(0, 65535, live=port)
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((HOST, port))
        listener.listen()
    except OSError as taken:
        listener.close()
        check.fail("live", port, f"a port that is free ({taken.strerror}); 0 takes any")
    print(f"live: http://{HOST}:{listener.getsockname()[1]}/", file=sys.stderr)
    return listener


@contextmanager
def served(args: argparse.Namespace) -> Iterator[None]:
    """While within, the page of the run that these arguments begin is served, if they ask for it."""
    if getattr(args, "live", None) is None:
        yield
        return
    children: list[subprocess.Popen] = []
    with listening(args.live) as listener:
        def began(folder: Path) -> None:
            children.append(subprocess.Popen(
                [sys.executable, "-m", __name__, str(folder), str(listener.fileno())], pass_fds=[listener.fileno()],
                stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))

        args.began = began
        try:
            yield
        finally:
            for child in children:
                child.kill()
                child.wait()
                child.stdin.close()


def serve(folders: Sequence[Path], listener: socket.socket) -> None:
    """Answer requests for the page, until interrupted."""
    from rlscratch.report.runs import page
    kept: dict[str, Any] = {"seen": None, "after": 0.0}
    one_at_a_time = threading.Lock()            # figures are drawn by one thread; a browser opens several connections

    def html() -> bytes:
        paths = [path for folder in folders for name in WATCHED for path in (folder / name, *folder.glob(f"*/{name}"))]
        seen = [(path.stat().st_mtime_ns, path.stat().st_size) if path.exists() else None for path in paths]
        with one_at_a_time:
            if kept["seen"] != seen and time.monotonic() >= kept["after"]:
                kept.update(seen=seen, html=page.build(folders, refresh=True).encode())
                kept["after"] = time.monotonic() + page.REFRESH / 2         # the processor is the trainer's
            return kept["html"]

    class Handler(BaseHTTPRequestHandler):
        """One page."""

        def do_GET(self) -> None:
            """The page at /, an error elsewhere or for a host that is not ours."""
            if self.headers.get("Host", "").partition(":")[0] not in (HOST, "localhost"):
                self.send_error(403)
            elif self.path.partition("?")[0] not in ("/", "/index.html"):
                self.send_error(404)
            else:
                try:
                    status, body = 200, html()
                except (ValueError, OSError) as wrong:          # a line that a trainer is writing, or a damaged file
                    status, body = 503, f"<!doctype html><title>rlscratch</title>{escape(str(wrong))}".encode()
                self.send_response(status)
                self.send_header("Content-Type", "text/html; charset=utf-8")
                self.send_header("Content-Length", str(len(body)))
                self.send_header("Cache-Control", "no-store")
                self.end_headers()
                self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Nothing: progress is on standard error."""

    with ThreadingHTTPServer(listener.getsockname(), Handler, bind_and_activate=False) as server:
        server.socket.close()
        server.socket = listener
        server.daemon_threads = True
        server.handle_error = lambda *_: None                   # a browser that goes away is no news
        server.serve_forever()


def main(folder: str, handle: str) -> None:
    """The child: serve until standard input ends."""
    threading.Thread(target=lambda: (sys.stdin.buffer.read(), os._exit(0)), daemon=True).start()
    serve([Path(folder)], socket.socket(fileno=int(handle)))


if __name__ == "__main__":
    main(*sys.argv[1:])

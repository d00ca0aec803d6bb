"""The server of `rlscratch rank`: one page, and two addresses that it asks.

    GET   /                      the page
    GET   /next?who=Ann          {"who", "done", "total", "number", "prompt", "answers"}; at the end number is null
    POST  /judge                 {"who": "Ann", "number": 3, "places": [1, 2, 2]}, or null for places: the same as next

Who may ask.  On the machine itself (a loopback address) any program of its user may, but no web page that the user
looks at: a request must name this server as its host, and a judgement must be JSON by its content type, which a browser
sends to another site only after asking it.  From outside, every address begins with a random token.

Each request has its thread, and a connection of its own, so a browser that goes away in the middle ends its own alone.
A judgement counts when its line is on the disk; one that came in half is none.

Leaves out: encryption: on a network where others listen, use a tunnel (ssh -L) to a loopback address.
"""
import errno
import hmac
import ipaddress
import json
import secrets
import socket
import socketserver
import sys
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import parse_qs, urlsplit

from rlscratch import check
from rlscratch.report.rank.judgements import Judgements
from rlscratch.report.tour import page

LARGEST = 1 << 16               # bytes of a judgement
HEADERS = {
    "Content-Security-Policy":
        "default-src 'none'; connect-src 'self'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer", "Cache-Control": "no-store"}


class Server(socketserver.ThreadingTCPServer):
    """Answers people's browsers until it is shut down.

    judgements  where what they say goes
    host        a loopback address, or another with which the address gets a token
    port        0: one that is free

    Raises RuntimeError for a port that is in use, ValueError for a host that is none.
    """

    daemon_threads = allow_reuse_address = True
    block_on_close = False
    request_queue_size = 64

    def __init__(self, judgements: Judgements, host: str = "127.0.0.1", port: int = 8000) -> None:
        self.judgements, self.page = judgements, page.template(__package__).render().encode()
        self.token = "" if loopback(host) else secrets.token_urlsafe(16)
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        try:
            super().__init__((host, check.integer(0, 65535, port=port)), Handler)
        except socket.gaierror as wrong:
            check.fail("host", host, f"an address of this machine: {wrong.strerror}")
        except OSError as wrong:
            if wrong.errno == errno.EADDRNOTAVAIL:
                check.fail("host", host, "an address of this machine")
            if wrong.errno not in (errno.EADDRINUSE, errno.EACCES):
                raise
            raise RuntimeError(f"port {port} of {host}: {wrong.strerror}; --port 0 takes one that is free") from None
        self.port = self.server_address[1]
        shown = socket.gethostname() if host in ("0.0.0.0", "::") else f"[{host}]" if ":" in host else host
        self.hosts = {f"{name}:{self.port}" for name in (shown, "localhost", "127.0.0.1")}
        self.path = f"/{self.token}/" if self.token else "/"
        self.address = f"http://{shown}:{self.port}{self.path}"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """One line for what failed, and none for a browser that went away."""
        if not isinstance(wrong := sys.exc_info()[1], (ConnectionError, TimeoutError)):
            print(f"rlscratch: a request failed: {type(wrong).__name__}: {wrong}", file=sys.stderr)


class Handler(BaseHTTPRequestHandler):
    """One request."""

    server: Server
    timeout = 30                # seconds that a browser may be silent

    def do_GET(self) -> None:
        """The page, or what a person is asked now."""
        asked = self._asked()
        if asked == "":
            self._send(HTTPStatus.OK, self.server.page, "text/html; charset=utf-8")
        elif asked == "next":
            self._tell(lambda: parse_qs(urlsplit(self.path).query).get("who", [""])[0])
        elif asked is not None:
            self.send_error(HTTPStatus.NOT_FOUND)

    def do_POST(self) -> None:
        """A judgement."""
        asked = self._asked()
        if asked is None:
            return
        length = self.headers.get("Content-Length", "")
        if asked != "judge":
            self.send_error(HTTPStatus.NOT_FOUND)
        elif self.headers.get_content_type() != "application/json":
            self.send_error(HTTPStatus.UNSUPPORTED_MEDIA_TYPE)
        elif not length.isdecimal() or int(length) > LARGEST:
            self.send_error(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
        else:
            body = self.rfile.read(int(length))
            if len(body) < int(length):
                raise ConnectionAbortedError("half a judgement")
            self._tell(lambda: self._judged(body))

    def log_message(self, *_: Any) -> None:
        """Nobody reads a line a request."""

    def _asked(self) -> str | None:
        """The path after the token; None, and the request is refused, for one that may not ask."""
        path = urlsplit(self.path).path
        if self.server.token:
            if hmac.compare_digest(path[:len(self.server.path)].encode(), self.server.path.encode()):
                return path[len(self.server.path):]
            self.send_error(HTTPStatus.NOT_FOUND)
        elif self.headers.get("Host") in self.server.hosts:
            return path[1:]
        else:
            self.send_error(HTTPStatus.FORBIDDEN)
        return None

    def _judged(self, body: bytes) -> str:
        """Write a judgement down; who gave it."""
        said = json.loads(body)
        if not isinstance(said, dict) or not {"who", "number", "places"} <= said.keys():
            raise ValueError('the judgement lacks a field; expected {"who": "...", "number": 0, "places": [...]}')
        self.server.judgements.add(said["who"], said["number"], said["places"])
        return said["who"]

    def _tell(self, who: Any) -> None:
        """What that person is asked now, or what is wrong."""
        try:
            status, told = HTTPStatus.OK, self.server.judgements.next(who())
        except (ValueError, TypeError) as wrong:
            status, told = HTTPStatus.BAD_REQUEST, {"error": str(wrong)}
        except OSError as wrong:
            print(f"rlscratch: {wrong.filename}: {wrong.strerror}; a judgement is not saved", file=sys.stderr)
            status, told = HTTPStatus.INSUFFICIENT_STORAGE, {"error": f"not saved: {wrong.strerror}"}
        self._send(status, json.dumps(told).encode(), "application/json")

    def _send(self, status: HTTPStatus, body: bytes, kind: str) -> None:
        self.send_response(status)
        for name, value in {"Content-Type": kind, "Content-Length": str(len(body)), **HEADERS}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)


def loopback(host: str) -> bool:
    """Whether only this machine reaches it.

    >>> loopback("127.0.0.1"), loopback("::1"), loopback("localhost"), loopback("0.0.0.0"), loopback("example.org")
    (True, True, True, False, False)
    """
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False

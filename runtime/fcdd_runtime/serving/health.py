"""A port that tells a supervisor how the server is: what Triton's own ready flag does not know."""

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from fcdd_runtime.errors import BackendError

TIMEOUT_S = 5.0
"""For one request; a client that says nothing is hung up on."""
MAX_CONNECTIONS = 16
"""At a time. A supervisor needs one."""


class Health:
    """Whether the server answers. `live`: this program is at work; `ready`: at the last check every model was right."""

    def __init__(self) -> None:
        self.ready = False
        """Written by the program, read by the threads of the port."""


@contextmanager
def health_port(health: Health, host: str, port: int) -> Iterator[None]:
    """Answer `GET /live` and `GET /ready` with 200 or 503 and `{"ready": ...}`, and all else with 404.

    Raises
    ------
    BackendError
        If nobody can listen there.
    """
    free = threading.BoundedSemaphore(MAX_CONNECTIONS)

    class Handler(BaseHTTPRequestHandler):
        timeout = TIMEOUT_S
        protocol_version = "HTTP/1.0"  # one request a connection

        def do_GET(self) -> None:
            known = self.path in ("/live", "/ready")
            status = 404 if not known else 503 if self.path == "/ready" and not health.ready else 200
            body = json.dumps({"ready": health.ready}).encode() if known else b"{}"
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Write no line a request."""

    class Server(ThreadingHTTPServer):
        address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        daemon_threads = True

        def process_request(self, request: Any, client_address: Any) -> None:
            if not free.acquire(blocking=False):
                self.shutdown_request(request)
                return
            super().process_request(request, client_address)

        def process_request_thread(self, *arguments: Any) -> None:
            try:
                super().process_request_thread(*arguments)
            finally:
                free.release()

        def handle_error(self, *_: object) -> None:
            """Say nothing of clients that hang up."""

    try:
        server = Server((host, port), Handler)
    except OSError as error:
        reason = f"cannot listen on {host}:{port} ({error.strerror})"
        raise BackendError(f"{reason}; choose another --health-port") from error
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()

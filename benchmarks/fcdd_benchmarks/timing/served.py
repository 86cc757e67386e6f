"""A real Triton server for a measurement."""

import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from fcdd_runtime.serving.triton_process import ServerOptions, running_server


@contextmanager
def served(repository: Path, log: Path) -> Iterator[str]:
    """Run Triton on a repository's models, as fcdd-serve does, on free loopback ports; yield `grpc://HOST:PORT`."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(2)]
        for free in sockets:
            free.bind(("127.0.0.1", 0))
        grpc, metrics = (int(free.getsockname()[1]) for free in sockets)
    with running_server(ServerOptions(repository, "127.0.0.1", grpc, metrics, log)):
        yield f"grpc://127.0.0.1:{grpc}"

"""Keeps a server running: checks it again and again, and starts it anew when it has died, within limits."""

import time
from collections import deque
from collections.abc import Callable

from fcdd_runtime.errors import BackendError
from fcdd_runtime.log_lines import EventLog
from fcdd_runtime.redaction import for_log
from fcdd_runtime.serving.health import Health
from fcdd_runtime.serving.triton_process import POLL_S, RunningServer, ServerOptions, running_server

LOG = EventLog("fcdd_runtime")
MAX_RESTARTS = 5
WITHIN_S = 600.0
"""A server that dies more often than that has a cause that starting it again does not remove."""
FIRST_WAIT_S = 1.0
"""Before the first restart; doubled for each further one."""


def supervise(
    options: ServerOptions, interval_s: float, health: Health, say: Callable[[str], None], warn: Callable[[str], None]
) -> None:
    """Serve until the program is ended, or the server cannot be kept running.

    Parameters
    ----------
    interval_s : between two checks; that a process has died is seen at once
    say : takes `ready grpc://HOST:PORT`, once, when every model has answered its golden image for the first time
    warn : takes a sentence about what happened since

    Raises
    ------
    GateError
        If a model no longer answers as it did when it was verified: another start would answer no better.
    BackendError
        If the server does not come up at first, or has died too often.
    """
    address = f"grpc://{options.url_host}:{options.grpc_port}"
    deaths: deque[float] = deque()
    ready = False
    while True:
        try:
            with running_server(options) as server:
                health.ready = True
                if ready:
                    warn(f"the server at {address} answers again")
                else:
                    say(f"ready {address}")
                ready = True
                try:
                    _watch(server, interval_s, health)
                finally:
                    # Stopping it takes a while, in which it answers nobody.
                    health.ready = False
        except BackendError as error:
            if not ready:
                raise
            deaths.append(time.monotonic())
            while deaths[0] < deaths[-1] - WITHIN_S:
                deaths.popleft()
            if len(deaths) > MAX_RESTARTS:
                raise BackendError(
                    f"the server died {len(deaths)} times within {WITHIN_S / 60:g} minutes, last because {error}; "
                    "look into its log"
                ) from error
            wait_s = FIRST_WAIT_S * 2 ** (len(deaths) - 1)
            LOG.warning("server died", sentence=for_log(error), restart_in_s=wait_s)
            warn(f"{error}; it is started again in {wait_s:g} s")
            time.sleep(wait_s)


def _watch(server: RunningServer, interval_s: float, health: Health) -> None:
    """Check a server at every interval; raises what `RunningServer.check` raises twice in a row, or once for good."""
    while True:
        until = time.monotonic() + interval_s
        while time.monotonic() < until:
            if server.process.poll() is not None:
                raise server.ended()
            time.sleep(POLL_S)
        try:
            server.check()
        except BackendError as error:
            LOG.warning("canary failed", sentence=for_log(error))
            # A busy machine may be late once; a dead model stays silent.
            health.ready = False
            time.sleep(1)
            server.check()
            health.ready = True

"""A few workers shared by any number of threads."""

import queue
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Generic, Protocol, TypeVar

from fcdd_runtime.errors import BackendError


class Worker(Protocol):
    """Anything that holds resources until it is closed."""

    def close(self) -> None:
        """Release them."""


W = TypeVar("W", bound=Worker)


class WorkerPool(Generic[W]):
    """Lends workers, each to one thread at a time. They are made when they are first needed, and kept."""

    def __init__(self, make: Callable[[], W], size: int):
        """Begin without workers.

        Parameters
        ----------
        make : makes one; called by the thread that needs it
        size : workers at most; further threads wait for one to come back
        """
        self._make = make
        self._size = size
        self._closed = False
        # Last in, first out: a lone thread always gets the worker that is warm.
        self._places: queue.LifoQueue[W | None] = queue.LifoQueue()
        for _ in range(size):
            self._places.put(None)

    @contextmanager
    def borrowed(self) -> Iterator[W]:
        """Lend a worker until the context ends.

        Raises
        ------
        BackendError
            If the pool was closed.
        """
        worker = self._places.get()
        try:
            if self._closed:
                raise BackendError("the model was closed; open it again")
            worker = worker or self._make()
            yield worker
        finally:
            self._places.put(worker)

    def close(self) -> None:
        """Wait for all workers to come back, and close them. A second call does nothing."""
        workers = [self._places.get() for _ in range(self._size)]
        self._closed = True
        for worker in workers:
            if worker is not None:
                worker.close()
            self._places.put(None)

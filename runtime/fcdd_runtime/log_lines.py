"""The form of log lines: one event a line, as text or JSON, that names nobody.

    LOG = EventLog("fcdd_runtime")
    LOG.info("study scored", input=1, study=2, seconds=0.8)

The event is a constant; what differs from time to time stands in its fields.
"""

import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timezone
from typing import Literal, get_args

from fcdd_runtime.redaction import NOT_SHOWN, Redacted, for_terminal

LineForm = Literal["text", "json"]
LINE_FORMS: tuple[LineForm, ...] = get_args(LineForm)

LogValue = int | float | Redacted | None

_packages: set[str] = set()


class EventLog:
    """What a package logs: through the standard library's logger of its name, with redaction as its filter."""

    def __init__(self, package: str):
        self._logger = logging.getLogger(package)
        if package not in _packages:
            _packages.add(package)
            self._logger.addFilter(Redaction())
            # Without a handler Python itself would print warnings, beside the sentences that commands print.
            self._logger.addHandler(logging.NullHandler())

    def info(self, event: str, /, **fields: LogValue) -> None:
        """Log what happened as it should."""
        self._logger.info(event, extra={"fields": fields}, stacklevel=2)

    def warning(self, event: str, /, **fields: LogValue) -> None:
        """Log what a person should look at."""
        self._logger.warning(event, extra={"fields": fields}, stacklevel=2)

    def error(self, event: str, /, **fields: LogValue) -> None:
        """Log what failed."""
        self._logger.error(event, extra={"fields": fields}, stacklevel=2)


class Redaction(logging.Filter):
    """Lets an event and its fields through where these are numbers or `Redacted`: no arguments, and no tracebacks."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Redact a record, whoever handles it later."""
        fields = record.__dict__.get("fields", {})
        record.__dict__["fields"] = {
            name: value if value is None or isinstance(value, int | float | Redacted) else NOT_SHOWN
            for name, value in fields.items()
        }
        record.msg = for_terminal(str(record.msg), {})
        record.args = record.exc_info = record.exc_text = record.stack_info = None
        return True


class LineFormatter(logging.Formatter):
    """Writes a record as one line: time (UTC), level, logger, event and fields."""

    def __init__(self, form: LineForm):
        super().__init__()
        self._form = form

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        time = datetime.fromtimestamp(record.created, timezone.utc).isoformat(timespec="milliseconds")
        event, fields = record.getMessage(), record.__dict__["fields"]
        if self._form == "json":
            head = {"time": time, "level": record.levelname.lower(), "logger": record.name, "event": event}
            return json.dumps({**head, **fields})
        words = [f"{name}={json.dumps(value)}" for name, value in fields.items()]
        return " ".join([time, record.levelname, f"{record.name}:", event, *words])


@contextmanager
def writing_log_lines(form: LineForm) -> Iterator[None]:
    """Write what our packages log to standard error until the context ends."""
    handler = logging.StreamHandler()
    handler.setFormatter(LineFormatter(form))
    loggers = [logging.getLogger(package) for package in _packages]
    for logger in loggers:
        logger.addHandler(handler)
        logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        for logger in loggers:
            logger.removeHandler(handler)
            logger.setLevel(logging.NOTSET)

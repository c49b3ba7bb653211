"""Logging as users know it: ``get_logger(name)``; coloured on a terminal, plain in pipes.

All messages go through one logger, ``smartcore``. The core's own loggers are its children and add
no handler: messages are shown once a user calls :func:`get_logger` or makes an experiment. If the
application has set up the root logger to write to standard output or standard error, it shows
them, and smartcore does not show them a second time.
"""

from __future__ import annotations

import logging
import os
import sys
from contextvars import ContextVar
from pathlib import Path
from typing import Final, Literal, TextIO

from smartcore.error import ConfigError, InputError, InputTypeError, PathNotFoundError

ROOT: Final = "smartcore"
VARIABLE: Final = "SMARTCORE_LOG_LEVEL"
DEVELOPER: Final = "developer"
DEFAULT_LEVEL: Final = "info"
LEVELS: Final = {
    "quiet": logging.WARNING,
    "info": logging.INFO,
    "debug": logging.DEBUG,
    DEVELOPER: logging.DEBUG,
}
# Drivers also pass the names that Python's own logging has.
_PYTHON_LEVELS: Final = {
    "warn": logging.WARNING,
    "warning": logging.WARNING,
    "error": logging.ERROR,
    "critical": logging.CRITICAL,
}
FORMAT: Final = "%(asctime)s %(host)s %(program)s[%(process)d] %(levelname)s %(message)s"
TIME: Final = "%H:%M:%S"
_COLOURS: Final = (  # lowest level, SGR code (ECMA-48)
    (logging.ERROR, "31"),
    (logging.WARNING, "33"),
    (logging.INFO, "32"),
    (logging.NOTSET, "2"),
)

Stream = Literal["stdout", "stderr"]

ctx_exp_path: ContextVar[Path | None] = ContextVar("ctx_exp_path", default=None)
"""The directory of the experiment whose messages the current context writes."""


class Formatter(logging.Formatter):
    """Writes ``HH:MM:SS host smartcore[pid] LEVEL message``.

    :param fmt: another format, of the ``%`` style; knows ``host`` and ``program``, too
    :param developer: the logger's own name instead of ``smartcore``
    """

    def __init__(self, fmt: str | None = None, *, developer: bool = False) -> None:
        super().__init__(fmt or FORMAT, TIME)
        self._developer = developer
        self._host = os.uname().nodename.partition(".")[0]

    def format(self, record: logging.LogRecord) -> str:
        record.host = self._host
        record.program = record.name if self._developer else ROOT
        return super().format(record)


class ConsoleHandler(logging.StreamHandler[TextIO]):
    """Writes to what standard output (or error) is at that moment, so that capturing works.

    :param stream: which of the two
    """

    def __init__(self, stream: Stream = "stdout") -> None:
        logging.Handler.__init__(self)
        self.which = stream
        self.given = logging.NOTSET  # the level that setup gave to the logger
        self.threshold = logging.NOTSET  # set while the logger lets more through, for a file

    @property
    def stream(self) -> TextIO:  # type: ignore[override]
        return sys.stdout if self.which == "stdout" else sys.stderr

    def emit(self, record: logging.LogRecord) -> None:
        if self.stream is None or _shown_by_application():
            return
        if record.levelno >= (_own_level(record.name) or self.threshold):
            super().emit(record)

    def format(self, record: logging.LogRecord) -> str:
        text = super().format(record)
        if not _coloured(self.stream):
            return text
        code = next(code for level, code in _COLOURS if record.levelno >= level)
        return f"\x1b[{code}m{text}\x1b[0m"


def _own_level(name: str) -> int:
    logger: logging.Logger | None = logging.getLogger(name)
    while logger is not None and logger.name != ROOT:
        if logger.level:
            return logger.level
        logger = logger.parent
    return logging.NOTSET


def _coloured(stream: TextIO) -> bool:
    return stream.isatty() and not os.environ.get("NO_COLOR")  # https://no-color.org


def _shown_by_application() -> bool:
    console = (sys.stdout, sys.stderr, sys.__stdout__, sys.__stderr__)
    streams = [getattr(handler, "stream", None) for handler in logging.getLogger().handlers]
    return any(stream is not None and stream in console for stream in streams)


def setup(level: str | None = None, *, fmt: str | None = None, stream: Stream = "stdout") -> None:
    """Show the messages of smartcore on the console; called again, it adds nothing.

    A level that the application gave to the logger ``smartcore`` itself is left as it is.

    :param level: ``quiet``, ``info``, ``debug`` or ``developer``; None leaves what an earlier call
        said, or reads ``SMARTCORE_LOG_LEVEL``
    :param fmt: format of the messages, of the ``%`` style
    :param stream: where they go, if this call is the first
    :raises ConfigError: ``SMARTCORE_LOG_LEVEL`` has another value
    :raises InputError: there is no such level
    """
    handler = _console()
    first = handler is None
    chosen = level if level is not None else _environment_level()
    number = level_number(chosen)
    if handler is None:
        handler = ConsoleHandler(stream)
        logging.getLogger(ROOT).addHandler(handler)
    if first or level is not None or fmt is not None:
        handler.setFormatter(Formatter(fmt, developer=chosen.lower() == DEVELOPER))
    if first or level is not None:
        _set_level(handler, number)


def _console() -> ConsoleHandler | None:
    handlers = logging.getLogger(ROOT).handlers
    return next((one for one in handlers if isinstance(one, ConsoleHandler)), None)


def _set_level(handler: ConsoleHandler, number: int) -> None:
    root = logging.getLogger(ROOT)
    if handler.threshold:
        handler.threshold = number
        root.setLevel(min(root.level, number))
    elif root.level in {logging.NOTSET, handler.given}:
        handler.given = number
        root.setLevel(number)


def _environment_level() -> str:
    text = os.environ.get(VARIABLE) or DEFAULT_LEVEL
    if text.lower() not in LEVELS:
        raise ConfigError(f"{VARIABLE} is {text!r}; give one of: {', '.join(LEVELS)}")
    return text


def level_number(level: str) -> int:
    """What Python's logging calls a level of ours, or one of its own by name.

    :raises InputError: there is no such level
    """
    if not isinstance(level, str):
        raise InputTypeError(f"log_level is {level!r}; give one of: {', '.join(LEVELS)}")
    number = {**_PYTHON_LEVELS, **LEVELS}.get(level.lower())
    if number is None:
        raise InputError(f"no log level {level!r}; there are: {', '.join(LEVELS)}")
    return number


def get_logger(
    name: str = ROOT, log_level: str | None = None, fmt: str | None = None
) -> logging.Logger:
    """Make a logger whose messages are shown with those of smartcore, on standard output.

    :param name: shown at the level ``developer``; the name of a module will do
    :param log_level: what this logger shows at least; None: what ``SMARTCORE_LOG_LEVEL`` says
    :param fmt: format of all messages, of the ``%`` style
    :raises InputError: there is no such level
    """
    if name.startswith(f"{ROOT}."):  # a module of the core: silent until somebody listens
        logger = logging.getLogger(name)
    else:
        setup(fmt=fmt)
        logger = logging.getLogger(name if name == ROOT else f"{ROOT}.{name}")
    if log_level is not None:
        logger.setLevel(level_number(log_level))
    return logger


def log_to_file(filename: str | os.PathLike[str], log_level: str = "debug") -> None:
    """Write all messages of smartcore to a file as well; what it held is lost.

    :param log_level: what is written at least; the console goes on as before
    :raises PathNotFoundError: the file's directory is not there
    :raises InputError: the file cannot be written, or there is no such level
    """
    number = level_number(log_level)
    root = logging.getLogger(ROOT)
    setup()
    log_to_exp_file(filename, root, log_level, mode="w")
    console = _console()
    if console is not None and number < root.level:
        console.threshold = console.threshold or root.level
        root.setLevel(number)


def log_to_exp_file(
    filename: str | os.PathLike[str],
    logger: logging.Logger,
    log_level: str = "warn",
    fmt: str | None = None,
    log_filter: logging.Filter | None = None,
    *,
    mode: Literal["a", "w"] = "a",
) -> logging.Handler:
    """Write the messages of one logger to a file as well.

    :param log_level: what is written at least
    :param fmt: format of the messages, of the ``%`` style
    :param log_filter: further condition for what is written
    :param mode: append to what the file holds, or begin anew
    :return: the handler; ``logger.removeHandler`` ends it
    :raises PathNotFoundError: the file's directory is not there
    :raises InputError: the file cannot be written, or there is no such level
    """
    path = Path(filename)
    number = level_number(log_level)
    if not path.parent.is_dir():
        raise PathNotFoundError(f"cannot write {path}: there is no directory {path.parent}")
    try:
        handler = logging.FileHandler(path, mode=mode, encoding="utf-8")
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror}") from error
    handler.setLevel(number)
    handler.setFormatter(Formatter(fmt))
    if log_filter is not None:
        handler.addFilter(log_filter)
    logger.addHandler(handler)
    return handler


def get_exp_log_paths() -> tuple[Path | None, Path | None]:
    """Files for the messages and the errors of the experiment that ``ctx_exp_path`` names; two
    times None where it names none.
    """
    path = ctx_exp_path.get()
    if path is None:
        return None, None
    logs = path / ".smartcore" / "logs"
    return logs / "smartcore.out", logs / "smartcore.err"

from __future__ import annotations

import io
import logging
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from pathlib import Path

import pytest

from smartcore import log
from smartcore.error import ConfigError, InputError, InputTypeError, PathNotFoundError

pytestmark = pytest.mark.usefixtures("fresh_logging", "no_settings")
LINE = re.compile(r"\d\d:\d\d:\d\d \S+ smartcore\[\d+\] (\w+) (.*)")


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def lines(text: str) -> list[tuple[str, str]]:
    matches = [LINE.fullmatch(line) for line in text.splitlines()]
    return [(match[1], match[2]) for match in matches if match]


def test_a_users_logger_prints_time_host_process_and_level(
    capsys: pytest.CaptureFixture[str],
) -> None:
    logger = log.get_logger("driver")
    logger.info("started %s", "heat")
    logger.debug("not shown")
    out, err = capsys.readouterr()
    assert lines(out) == [("INFO", "started heat")]
    assert err == ""


def test_several_loggers_print_each_message_once(capsys: pytest.CaptureFixture[str]) -> None:
    first, again, second = (log.get_logger(name) for name in ("one", "one", "two"))
    log.setup()
    log.setup("info")
    first.info("a")
    again.info("b")
    second.warning("c")
    log.get_logger().error("d")
    assert [message for _, message in lines(capsys.readouterr().out)] == ["a", "b", "c", "d"]


def test_the_cores_own_loggers_add_no_handler(fresh_logging: logging.Logger) -> None:
    logger = log.get_logger("smartcore.registry")
    assert logger.name == "smartcore.registry"
    assert fresh_logging.handlers == []


def test_importing_the_whole_core_adds_no_handler() -> None:
    code = "import logging, smartcore.registry, smartcore.experiment\n"
    code += "print(logging.getLogger('smartcore').handlers, logging.getLogger().handlers)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout == "[] []\n"


def test_the_cores_messages_are_shown_once_somebody_listens(
    capsys: pytest.CaptureFixture[str],
) -> None:
    core = log.get_logger("smartcore.registry")
    log.setup()
    core.info("found")
    assert lines(capsys.readouterr().out) == [("INFO", "found")]


def test_the_stream_is_what_standard_output_is_at_that_moment() -> None:
    logger = log.get_logger("driver")
    with redirect_stdout(io.StringIO()) as first:
        logger.info("one")
    with redirect_stdout(io.StringIO()) as second:
        logger.info("two")
    assert [lines(stream.getvalue()) for stream in (first, second)] == [
        [("INFO", "one")],
        [("INFO", "two")],
    ]


def test_messages_can_go_to_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    log.setup(stream="stderr")
    log.get_logger("driver").info("started")
    out, err = capsys.readouterr()
    assert (out, lines(err)) == ("", [("INFO", "started")])


def test_a_terminal_gets_colours_unless_no_color_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    logger = log.get_logger("driver")
    with redirect_stdout(Terminal()) as terminal:
        logger.error("bad")
        logger.info("good")
    bad, good = terminal.getvalue().splitlines()
    assert bad.startswith("\x1b[31m")
    assert good.startswith("\x1b[32m")
    monkeypatch.setenv("NO_COLOR", "1")
    with redirect_stdout(Terminal()) as terminal:
        logger.error("bad")
    assert lines(terminal.getvalue()) == [("ERROR", "bad")]


@pytest.mark.parametrize(
    ("level", "shown"),
    [
        ("quiet", ["WARNING"]),
        ("info", ["INFO", "WARNING"]),
        ("debug", ["DEBUG", "INFO", "WARNING"]),
        ("DEBUG", ["DEBUG", "INFO", "WARNING"]),
    ],
)
def test_the_level_comes_from_the_environment(
    level: str,
    shown: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("SMARTCORE_LOG_LEVEL", level)
    logger = log.get_logger("driver")
    for say in (logger.debug, logger.info, logger.warning):
        say("x")
    assert [name for name, _ in lines(capsys.readouterr().out)] == shown


def test_developers_see_which_logger_speaks(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SMARTCORE_LOG_LEVEL", "developer")
    log.get_logger("driver").debug("x")
    assert re.search(r" smartcore\.driver\[\d+\] DEBUG x$", capsys.readouterr().out)


def test_an_unknown_level_is_an_error_that_lists_them(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match="no log level 'loud'; there are: quiet, info"):
        log.get_logger("driver", "loud")
    with pytest.raises(InputTypeError, match="log_level is 10"):
        log.get_logger("driver", 10)  # type: ignore[arg-type]
    monkeypatch.setenv("SMARTCORE_LOG_LEVEL", "loud")
    with pytest.raises(ConfigError, match="SMARTCORE_LOG_LEVEL is 'loud'"):
        log.setup()


def test_one_logger_can_say_more_than_the_others(capsys: pytest.CaptureFixture[str]) -> None:
    chatty, other = log.get_logger("chatty", "debug"), log.get_logger("other")
    chatty.debug("yes")
    other.debug("no")
    assert lines(capsys.readouterr().out) == [("DEBUG", "yes")]


def test_a_level_that_the_application_set_is_left_alone(
    fresh_logging: logging.Logger, capsys: pytest.CaptureFixture[str]
) -> None:
    fresh_logging.setLevel(logging.ERROR)
    log.setup("debug")
    log.get_logger("driver").warning("not shown")
    assert capsys.readouterr().out == ""


def test_a_later_setup_changes_the_level_that_an_earlier_one_gave(
    capsys: pytest.CaptureFixture[str],
) -> None:
    logger = log.get_logger("driver")
    log.setup("debug")
    log.setup()
    logger.debug("shown")
    assert lines(capsys.readouterr().out) == [("DEBUG", "shown")]


def test_a_format_of_the_users_own_is_used(capsys: pytest.CaptureFixture[str]) -> None:
    log.get_logger("driver", fmt="<%(levelname)s> %(message)s on %(host)s").info("x")
    assert capsys.readouterr().out.startswith("<INFO> x on ")


@contextmanager
def root_handler(stream: io.TextIOBase) -> Iterator[None]:
    handler = logging.StreamHandler(stream)
    logging.getLogger().addHandler(handler)
    yield
    logging.getLogger().removeHandler(handler)


def test_what_the_application_shows_itself_is_not_shown_twice() -> None:
    logger = log.get_logger("driver")
    with redirect_stdout(io.StringIO()) as stdout, root_handler(stdout):
        logger.info("once")
    assert stdout.getvalue().count("once") == 1


def test_an_applications_log_file_does_not_silence_the_console() -> None:
    logger = log.get_logger("driver")
    with redirect_stdout(io.StringIO()) as stdout, root_handler(io.StringIO()):
        logger.info("shown")
    assert lines(stdout.getvalue()) == [("INFO", "shown")]


def test_log_to_file_takes_all_and_leaves_the_console_as_it_was(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "all.log"
    path.write_text("old\n")
    logger, chatty = log.get_logger("driver"), log.get_logger("chatty", "debug")
    log.log_to_file(str(path))
    log.setup("info")  # as when an experiment is made
    logger.debug("detail")
    logger.info("news")
    chatty.debug("chat")
    assert lines(capsys.readouterr().out) == [("INFO", "news"), ("DEBUG", "chat")]
    assert lines(path.read_text()) == [("DEBUG", "detail"), ("INFO", "news"), ("DEBUG", "chat")]


def test_log_to_exp_file_takes_one_logger_from_its_level_on(tmp_path: Path) -> None:
    path = tmp_path / "errors.log"
    logger, other = log.get_logger("one"), log.get_logger("two")
    handler = log.log_to_exp_file(path, logger, fmt="%(message)s")
    other.error("of another")
    logger.info("news")
    logger.warning("careful")
    logger.removeHandler(handler)
    logger.error("too late")
    handler.close()
    assert path.read_text() == "careful\n"


def test_a_filter_of_the_users_own_decides_as_well(tmp_path: Path) -> None:
    class OnlyHeat(logging.Filter):
        def filter(self, record: logging.LogRecord) -> bool:
            return "heat" in record.getMessage()

    path = tmp_path / "heat.log"
    logger = log.get_logger("one")
    handler = log.log_to_exp_file(path, logger, "info", "%(message)s", OnlyHeat())
    logger.info("heat started")
    logger.info("wave started")
    logger.removeHandler(handler)
    handler.close()
    assert path.read_text() == "heat started\n"


def test_a_file_in_no_directory_or_that_is_one_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(PathNotFoundError, match="there is no directory"):
        log.log_to_file(tmp_path / "gone" / "x.log")
    with pytest.raises(InputError, match="Is a directory"):
        log.log_to_file(tmp_path)


def test_the_files_of_an_experiment_are_known_in_its_context_only(tmp_path: Path) -> None:
    assert log.get_exp_log_paths() == (None, None)
    token = log.ctx_exp_path.set(tmp_path)
    out, err = log.get_exp_log_paths()
    log.ctx_exp_path.reset(token)
    assert out == tmp_path / ".smartcore" / "logs" / "smartcore.out"
    assert err == tmp_path / ".smartcore" / "logs" / "smartcore.err"


def test_no_logging_is_possible_without_standard_output(monkeypatch: pytest.MonkeyPatch) -> None:
    logger = log.get_logger("driver")
    monkeypatch.setattr(sys, "stdout", None)
    logger.info("into the void")

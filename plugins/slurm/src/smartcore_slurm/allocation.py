"""Allocations: asking about one, getting one from Python, and giving it back."""

from __future__ import annotations

import atexit
import contextlib
import os
import re
import subprocess
import threading
from collections.abc import Iterator, Mapping
from datetime import timedelta

from smartcore.error import AllocationError, LauncherError, ReservedKeywordError
from smartcore.spec import format_walltime, parse_walltime
from smartcore.spec.values import ArgValue, check_count, check_options, check_text

from .commands import ask, missing_configuration, query_environment, told
from .nodes import Allocation, parse_job

# salloc: "Granted job allocation 4"; before that, if it must wait, "Pending job allocation 4".
_GRANTED = re.compile(r"Granted job allocation (\d+)")
_PENDING = re.compile(r"(?:Pending job allocation|job) (\d+)")
_RESERVED = frozenset({"t", "time", "N", "nodes", "A", "account"})
# salloc gives the request back when it is asked to end; one that does not is killed.
LEAVE = 10.0
_held: set[str] = set()
_lock = threading.Lock()


def show(number: str) -> Allocation | None:
    """What Slurm knows of an allocation; None if it knows none of this number.

    :raises LauncherError: the question had no answer
    """
    completed = ask("scontrol", "show", "job", "--details", "--oneliner", number)
    if completed.returncode != 0:
        if "Invalid job id" in completed.stderr:
            return None
        raise LauncherError(f"asking for allocation {number}: {told(completed)}")
    return parse_job(number, completed.stdout)


def get_allocation(
    nodes: int = 1,
    time: str | None = None,
    account: str | None = None,
    options: Mapping[str, ArgValue] | None = None,
    *,
    timeout: timedelta | None = None,
) -> str:
    """Ask Slurm for nodes, wait until they are granted, and return the allocation's number.

    It lasts until it is released, its time is over, or this process ends normally: what is still
    held then is released. A driver that is killed leaves it behind, to end with its time. If the
    wait is interrupted or takes too long, the request is withdrawn.

    :param nodes: number of nodes
    :param time: limit of time, see ``parse_walltime``
    :param account: the account that pays
    :param options: further options of ``salloc``, ``name -> value``; None for one without a value
    :param timeout: how long to wait at the most; None for ever
    :raises ReservedKeywordError: options has what another parameter is for
    :raises InputError: a value that cannot be used
    :raises AllocationError: it was refused, in Slurm's own words, or not granted in time
    :raises LauncherError: Slurm is not installed here
    """
    argv = _salloc(nodes, time, account, options)
    missing = missing_configuration(os.environ)
    if missing:
        raise LauncherError(missing)
    try:
        process = subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            env=_environment(),
            # A Ctrl-C is ours, which withdraws the request, and not salloc's at the same time.
            start_new_session=True,
        )
    except OSError as error:
        raise LauncherError(
            f"cannot run salloc: {error.strerror}; load the module of Slurm, or run where it is"
            " installed"
        ) from error
    return _granted(process, timeout)


def _salloc(
    nodes: int, time: str | None, account: str | None, options: Mapping[str, ArgValue] | None
) -> list[str]:
    argv = ["salloc", "--no-shell", f"--nodes={check_count(nodes, 'nodes')}"]
    argv.append("--job-name=smartcore")
    if time:
        argv.append(f"--time={format_walltime(parse_walltime(time))}")
    if account:
        argv.append(f"--account={check_text(account, 'account')}")
    for name, value in check_options(options or {}, "options").items():
        plain = name.lstrip("-")
        if plain in _RESERVED:
            raise ReservedKeywordError(
                f"options has {plain!r}, which is a parameter of its own: nodes, time or account"
            )
        dashes = "-" if len(plain) == 1 else "--"
        if value is None or value == "":
            argv.append(f"{dashes}{plain}")
        else:
            argv.append(f"{dashes}{plain}{'=' if len(plain) > 1 else ''}{value}")
    return argv


def _environment() -> dict[str, str]:
    # Of the allocation that we may be in nothing is to be inherited; SLURM_CONF is the client's.
    kept = ("SLURM_CONF", "SLURM_CLUSTERS", "SLURM_CONF_SERVER")
    return {
        name: value
        for name, value in query_environment(os.environ).items()
        if not name.startswith("SLURM_") or name in kept
    }


def _granted(process: subprocess.Popen[str], timeout: timedelta | None) -> str:
    said: list[str] = []
    try:
        # --no-shell: salloc ends when it has the nodes, or a refusal.
        _, text = process.communicate(timeout=timeout.total_seconds() if timeout else None)
        said.append(text)
    except subprocess.TimeoutExpired:
        _withdraw(process, said)
        seconds = timeout.total_seconds() if timeout else 0
        raise AllocationError(
            f"no allocation within {seconds:g} s, and the request was withdrawn; Slurm said:"
            f" {_words(said)}"
        ) from None
    except BaseException:
        _withdraw(process, said)
        raise
    match = _GRANTED.search("".join(said))
    if match is None:
        raise AllocationError(f"no allocation; Slurm said: {_words(said)}")
    _hold(match[1])
    return match[1]


def _withdraw(process: subprocess.Popen[str], said: list[str]) -> None:
    process.terminate()
    try:
        _, text = process.communicate(timeout=LEAVE)
    except subprocess.TimeoutExpired:
        process.kill()
        _, text = process.communicate()
    said.append(text)
    # It may have been granted in the last moment, or salloc killed before it could withdraw it.
    for number in dict.fromkeys(_GRANTED.findall(text) + _PENDING.findall(text)):
        with contextlib.suppress(LauncherError):
            release_allocation(number)


def _words(said: list[str]) -> str:
    lines = [line.strip() for text in said for line in text.splitlines() if line.strip()]
    return "; ".join(dict.fromkeys(lines)) or "nothing"


def release_allocation(alloc_id: str) -> None:
    """Give an allocation back, and end what runs in it; one that has ended is no error.

    :raises AllocationError: Slurm refused
    :raises LauncherError: Slurm did not answer
    """
    number = check_text(alloc_id, "alloc_id").strip()
    completed = ask("scancel", number)
    # A nonsense number, or somebody else's allocation; scancel says nothing of one that has ended.
    if completed.returncode != 0:
        raise AllocationError(f"allocation {number} was not released: {told(completed)}")
    with _lock:
        _held.discard(number)


@contextlib.contextmanager
def allocation(
    nodes: int = 1,
    time: str | None = None,
    account: str | None = None,
    options: Mapping[str, ArgValue] | None = None,
    *,
    timeout: timedelta | None = None,
) -> Iterator[str]:
    """Hold an allocation for the length of a block; its parameters are those of
    :func:`get_allocation`.

    ::

        with allocation(nodes=4, time="01:00:00") as alloc:
            settings = exp.create_run_settings("./solver", alloc=alloc)
    """
    number = get_allocation(nodes, time, account, options, timeout=timeout)
    try:
        yield number
    finally:
        release_allocation(number)


def _hold(number: str) -> None:
    with _lock:
        if not _held:
            atexit.unregister(_release_held)
            atexit.register(_release_held)
        _held.add(number)


def _release_held() -> None:
    with _lock:
        held = sorted(_held)
    for number in held:
        with contextlib.suppress(LauncherError):
            release_allocation(number)

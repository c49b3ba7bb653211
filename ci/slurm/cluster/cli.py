"""The command lines of up, down, check and ctl."""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from cluster import bringup, checks, control, host, takedown
from cluster.error import ClusterError
from cluster.settings import (
    ACCOUNTING_PORT,
    LOCK,
    PLAIN_PORT,
    Settings,
    check_directory,
    default_directory,
    is_ours,
    load,
)

Action = Callable[[argparse.Namespace], int]


def up() -> int:
    parser = _parser("up", "Bring up a real Slurm of four emulated nodes; print what to export.")
    parser.add_argument(
        "--port", type=int, help="first of the ports (27600; 27650 without accounting)"
    )
    parser.add_argument("--max-array-size", type=int, default=1001, help="MaxArraySize (1001)")
    parser.add_argument("--user", action="append", default=[], help="who may submit besides root")
    parser.add_argument(
        "--no-cgroup", action="store_true", help="no limits by cgroups even where they could be"
    )
    return _run(parser, _up)


def down() -> int:
    parser = _parser("down", "End what up started, and remove its directory.")
    parser.add_argument("--keep", action="store_true", help="keep the directory, with the logs")
    return _run(parser, _down)


def check() -> int:
    return _run(_parser("check", "Try what the cluster can do, and say so."), _check)


def ctl() -> int:
    parser = _parser("ctl", "Disturb the cluster, for tests.")
    control.add_commands(parser)
    return _run(parser, _ctl)


def _parser(name: str, what: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=f"ci/slurm/{name}", description=what)
    parser.add_argument(
        "--no-accounting", action="store_true", help="the variant without slurmdbd and MariaDB"
    )
    parser.add_argument(
        "--dir", type=Path, help="where all of it lies ($TMPDIR/smartcore-slurm[-noacct])"
    )
    return parser


def _run(parser: argparse.ArgumentParser, action: Action) -> int:
    os.umask(0o022)
    try:
        return action(parser.parse_args())
    except ClusterError as error:
        sys.stderr.write(f"{parser.prog}: {error}\n")
        return 1


def _up(args: argparse.Namespace) -> int:
    directory = _directory(args)
    settings = Settings(
        directory=directory,
        accounting=not args.no_accounting,
        port=args.port or (PLAIN_PORT if args.no_accounting else ACCOUNTING_PORT),
        max_array_size=args.max_array_size,
        cgroup=not (args.no_cgroup or args.no_accounting) and host.has_cgroup_v1(),
        users=tuple(dict.fromkeys(("root", *args.user))),
        host_names=host.can_name(),
    )
    host.check()
    check_directory(directory)
    directory.mkdir(parents=True, exist_ok=True)
    with _locked(directory):
        if load(directory) == settings and bringup.is_up(settings):
            sys.stderr.write(f"ci/slurm/up: already up in {directory}\n")
        else:
            bringup.up(settings)
    sys.stdout.write(control.exports(settings))
    return 0


def _down(args: argparse.Namespace) -> int:
    settings = _existing(args)
    if settings is None:
        sys.stderr.write("ci/slurm/down: nothing is there\n")
        return 0
    with _locked(settings.directory):
        takedown.down(settings, args.keep)
    return 0


def _check(args: argparse.Namespace) -> int:
    return checks.check(_up_one(args))


def _ctl(args: argparse.Namespace) -> int:
    settings = _up_one(args)
    with _locked(settings.directory):
        return control.perform(settings, args)


def _directory(args: argparse.Namespace) -> Path:
    given: Path | None = args.dir
    return given.absolute() if given else default_directory(accounting=not args.no_accounting)


def _existing(args: argparse.Namespace) -> Settings | None:
    """The cluster of the options; without any, that of SLURM_CONF, else the default one."""
    conf = Path(os.environ.get("SLURM_CONF", "/"))
    if not args.dir and not args.no_accounting and is_ours(conf):
        return load(conf.parents[1])
    return load(_directory(args))


def _up_one(args: argparse.Namespace) -> Settings:
    settings = _existing(args)
    if settings is None:
        raise ClusterError(f"no cluster in {_directory(args)}; run ci/slurm/up")
    if os.geteuid() != 0:
        raise ClusterError("run it as root, as up")
    return settings


@contextlib.contextmanager
def _locked(directory: Path) -> Iterator[None]:
    """One program at a time for a cluster; the daemons do not inherit the lock."""
    with (directory / LOCK).open("w") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        yield

"""What tests do to a cluster: end and start daemons, lose nodes, let a job's time run out."""

from __future__ import annotations

import argparse
import os
import signal
import sys

from cluster import daemons
from cluster.command import must, run
from cluster.error import ClusterError
from cluster.settings import NODES, Settings

DAEMONS = "munged, mariadbd, slurmdbd, slurmctld, or a node for its slurmd"


def add_commands(parser: argparse.ArgumentParser) -> None:
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, what in (
        ("stop", "end daemons by SIGTERM, return when they are gone"),
        ("kill", "the same by SIGKILL"),
        ("start", "start daemons, return when they answer"),
        ("restart", "stop and start"),
        ("pause", "stop daemons by SIGSTOP: they hang"),
        ("resume", "let paused daemons go on"),
    ):
        command = commands.add_parser(name, help=what, description=what)
        command.add_argument("names", nargs="+", metavar="DAEMON", help=DAEMONS)
    for name, what in (
        ("node-down", "set nodes down; their jobs fail for it"),
        ("node-up", "bring nodes back, return when jobs can run there"),
    ):
        command = commands.add_parser(name, help=what, description=what)
        command.add_argument("names", nargs="+", metavar="NODE", choices=NODES)
    what = "let the time of a job be over: TIMEOUT within half a minute"
    command = commands.add_parser("expire", help=what, description=what)
    command.add_argument("job")
    commands.add_parser("env", help="print what to export")
    commands.add_parser("status", help="daemons with their process ids, and the nodes")


def perform(settings: Settings, args: argparse.Namespace) -> int:
    match args.command:
        case "env":
            sys.stdout.write(exports(settings))
        case "status":
            _status(settings)
        case "expire":
            # Not now: slurmctld refuses a time that has passed when it gets to it.
            must(settings, "scontrol", "update", f"JobId={args.job}", "EndTime=now+10")
        case "node-down":
            nodes = f"NodeName={','.join(args.names)}"
            must(settings, "scontrol", "update", nodes, "State=DOWN", "Reason=ci/slurm/ctl")
        case "node-up":
            daemons.bring_back(settings, *args.names)
        case _:
            _signal(settings, args.command, _known(settings, args.names))
    return 0


def exports(settings: Settings) -> str:
    return f"export SLURM_CONF={settings.conf}\n"


def _known(settings: Settings, chosen: list[str]) -> list[str]:
    known = daemons.names(settings)
    for name in chosen:
        if name not in known:
            raise ClusterError(f"this cluster has no daemon {name!r}; it has {', '.join(known)}")
    return [name for name in known if name in chosen]  # in the order of their start


def _signal(settings: Settings, command: str, chosen: list[str]) -> None:
    match command:
        case "stop":
            daemons.end(settings, chosen, signal.SIGTERM)
        case "kill":
            daemons.end(settings, chosen, signal.SIGKILL)
        case "start":
            daemons.start(settings, *chosen)
        case "restart":
            daemons.end(settings, chosen, signal.SIGTERM)
            daemons.start(settings, *chosen)
        case "pause" | "resume":
            number = signal.SIGSTOP if command == "pause" else signal.SIGCONT
            for name in chosen:
                os.kill(_living(settings, name), number)


def _living(settings: Settings, name: str) -> int:
    process = daemons.running(settings, name)
    if process is None:
        raise ClusterError(f"{name} does not run; ci/slurm/ctl start {name}")
    return process.pid


def _status(settings: Settings) -> None:
    for name in daemons.names(settings):
        process = daemons.running(settings, name)
        sys.stdout.write(f"{name:<10} {process.pid if process else 'does not run'}\n")
    sys.stdout.write(run(settings, "sinfo", "-N", "-p", "debug", seconds=20).stdout)

"""The daemons: how each is started, when it is ready, how it is ended."""

from __future__ import annotations

import signal
import socket
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from cluster import host, process
from cluster.command import must, run
from cluster.error import ClusterError
from cluster.process import Process
from cluster.settings import NODES, Settings

PATIENCE = 60.0  # seconds until a daemon counts as failed
GRACE = 20.0  # seconds from SIGTERM to SIGKILL
ACCOUNTING = ("mariadbd", "slurmdbd")
READY = ("idle", "mixed", "allocated", "completing")


def names(settings: Settings) -> tuple[str, ...]:
    """All daemons, in the order of their start; a node's slurmd has the node's name."""
    return ("munged", *(ACCOUNTING if settings.accounting else ()), "slurmctld", *NODES)


def argv(settings: Settings, name: str) -> tuple[str, ...]:
    top = settings.directory
    if name in NODES:
        slurmd = ("/usr/sbin/slurmd", "-D", "-N", name)
        return (*host.named(name), *slurmd) if settings.host_names else slurmd
    if name == "munged":
        return (
            "/usr/sbin/munged",
            "--foreground",
            f"--key-file={top}/munge/munge.key",
            f"--socket={settings.munge_socket}",
            f"--pid-file={top}/run/munged.pid",
            f"--seed-file={top}/munge/munge.seed",
            "--num-threads=4",
        )
    if name == "mariadbd":
        return (
            "/usr/sbin/mariadbd",
            "--no-defaults",
            "--user=mysql",
            f"--datadir={top}/mysql",
            f"--socket={settings.database_socket}",
            f"--pid-file={top}/mysql/mariadbd.pid",
            "--skip-networking",
            # long transactions of slurmdbd, and no waiting for the disk
            "--innodb-buffer-pool-size=256M",
            "--innodb-log-file-size=16M",
            "--innodb-lock-wait-timeout=900",
            "--innodb-flush-log-at-trx-commit=0",
            "--max-allowed-packet=16M",
        )
    return (f"/usr/sbin/{name}", "-D")


def running(settings: Settings, name: str) -> Process | None:
    return process.recorded(_record(settings, name))


def launch(settings: Settings, name: str) -> Process:
    """Start a daemon if it does not run, without waiting until it is ready."""
    found = running(settings, name)
    if found:
        return found
    if name == "munged":
        settings.munge_socket.unlink(missing_ok=True)
    return process.start(
        argv(settings, name),
        settings.environment(),
        _output(settings, name),
        _record(settings, name),
    )


def start(settings: Settings, *chosen: str) -> None:
    """Start these daemons, and return when all of them are ready.

    Raises:
        ClusterError: with the end of the log of the daemon that is not.
    """
    started = [(name, launch(settings, name)) for name in chosen]
    for name, launched in started:
        try:
            process.wait_until(name, partial(ready, settings, name), PATIENCE, launched)
        except ClusterError as error:
            raise ClusterError(f"{error}; its last words:\n{last_words(settings, name)}") from error


def ready(settings: Settings, name: str) -> bool:
    if name == "munged":
        socket_option = f"--socket={settings.munge_socket}"
        made = run(settings, "munge", socket_option, "--no-input", seconds=5)
        return run(settings, "unmunge", socket_option, seconds=5, text=made.stdout).returncode == 0
    if name == "mariadbd":
        ping = ("mariadb-admin", "--no-defaults", f"--socket={settings.database_socket}", "ping")
        return run(settings, *ping, seconds=10).returncode == 0
    if name == "slurmdbd":
        return _listens(settings.dbd_port) and _answers(
            settings, "sacctmgr", "-n", "list", "cluster"
        )
    if name == "slurmctld":
        return _listens(settings.port) and "is UP" in run(settings, "scontrol", "ping").stdout
    return _listens(settings.node_ports[name], settings.address(name))


def usable(settings: Settings, node: str) -> bool:
    """Whether slurmctld would run something there."""
    return _state(settings, node) in READY


def bring_back(settings: Settings, *nodes: str) -> None:
    """Let slurmctld use these nodes, whatever they are down for; return when it does."""
    start(settings, *nodes)
    for node in nodes:
        # Refused of a node that is not down. Which are is not asked: sinfo calls one mixed as long
        # as not all that ran there has gone.
        run(settings, "scontrol", "update", f"NodeName={node}", "State=RESUME")
    # else a slurmctld that was started anew asks the nodes for their state after 5 s only
    must(settings, "scontrol", "reconfigure")
    for node in nodes:
        launched = running(settings, node)
        if launched:
            process.wait_until(node, partial(usable, settings, node), PATIENCE, launched)


def _state(settings: Settings, node: str) -> str:
    """In words: "idle", "down"...; a star behind it marks a node that does not respond."""
    asked = ("sinfo", "-h", "-n", node, "-p", "debug", "-o", "%T")
    return run(settings, *asked, seconds=20).stdout.strip()


def end(settings: Settings, chosen: Sequence[str], number: signal.Signals) -> None:
    """End these daemons, all at once: by SIGTERM, after a while by SIGKILL, or by that at once."""
    found = [p for p in (running(settings, name) for name in chosen) if p]
    if number == signal.SIGKILL:
        for each in found:
            process.kill(each)
    else:
        process.end(found, GRACE)
    for name in chosen:
        _record(settings, name).unlink(missing_ok=True)


def last_words(settings: Settings, name: str) -> str:
    try:
        return "\n".join(_output(settings, name).read_text(errors="replace").splitlines()[-8:])
    except OSError:
        return "(none)"


def _listens(port: int, address: str = "127.0.0.1") -> bool:
    with socket.socket() as sock:
        return sock.connect_ex((address, port)) == 0


def _answers(settings: Settings, *command: str) -> bool:
    return run(settings, *command, seconds=10).returncode == 0


def _record(settings: Settings, name: str) -> Path:
    return settings.directory / "run" / f"{name}.json"


def _output(settings: Settings, name: str) -> Path:
    return settings.directory / "log" / f"{name}.out"

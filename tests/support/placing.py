"""A launcher whose nodes are addresses of this host, and what tests do with databases on them."""

from __future__ import annotations

import json
import signal
import sys
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import redis

from smartcore import Experiment
from smartcore.database import Orchestrator
from smartcore.spec import State

if TYPE_CHECKING:
    from tests.conftest import Site


HOOKS = """
@hookimpl
def smartcore_register_launchers(registry):
    registry.add("placing", "placing_parts:Placing", run_commands=("on",))
    registry.add("silent", "placing_parts:Silent", run_commands=("on",))

@hookimpl
def smartcore_register_run_commands(registry):
    registry.add("on", "placing_parts:On", settings="placing_parts:OnSettings")
"""
PARTS = """
from smartcore.spec import (
    Command, Facts, Launcher, Node, Resources, RunCommand, RunSettings, State, Status
)


class Placing(Launcher):
    def __init__(self, context, /):
        self.processes = context.processes
        self.start, self.status = self.processes.start, self.processes.status
        self.stop, self.attach = self.processes.stop, self.processes.attach
        self.watch, self.close = self.processes.watch, self.processes.close

    start = status = stop = attach = watch = close = None

    def nodes(self, allocation, /):
        return [Node(f"127.0.3.{number}", 4) for number in (1, 2, 3)]


class Silent(Launcher):
    # As schedulers that do not tell afterwards who ended what.
    def __init__(self, context, /):
        self.processes = context.processes
        self.start, self.stop = self.processes.start, self.processes.stop
        self.close = self.processes.close

    start = stop = close = None

    def nodes(self, allocation, /):
        return [Node("127.0.3.1", 4)]

    def status(self, ids, /):
        return {job: plain(answer) for job, answer in self.processes.status(ids).items()}


def plain(answer):
    if isinstance(answer, Status) and (answer.state, answer.returncode) == (State.CANCELLED, 0):
        return Status(State.COMPLETED, 0)
    return answer


class On(RunCommand):
    probe = ()
    node_variable = "NODE_NAME"
    rank_variables = ("NO_RANK", "MY_RANK")
    ends_together = {"together": "yes"}

    def facts(self, executable, output, /):
        return Facts(executable)

    def build(self, launch, placement, facts, /):
        tasks = ",".join(map(str, placement.tasks or (1,)))
        together = str(launch.settings.run_args.get("together"))
        hosts = ",".join(placement.hosts)
        return Command((facts.executable, hosts, tasks, together, *launch.argv), launch.env)


class OnSettings(RunSettings):
    def __init__(self, exe, exe_args=None, run_args=None, env_vars=None, **kwargs):
        super().__init__(exe, exe_args, "on", run_args, env_vars)
        self.wanted = {}

    def set_nodes(self, nodes):
        self.wanted["nodes"] = nodes

    def set_tasks(self, tasks):
        self.wanted["tasks"] = tasks

    def set_cpus_per_task(self, cpus_per_task):
        self.wanted["cpus_per_task"] = cpus_per_task

    def resources(self):
        return Resources(**self.wanted)
"""
ON = (
    f"#!{sys.executable}"
    """
import os, signal, subprocess, sys

hosts, counts, together, *argv = sys.argv[1:]
places = [h for h, n in zip(hosts.split(","), counts.split(",")) for _ in range(int(n))]
if len(places) == 1:
    os.environ["NODE_NAME"] = places[0]
    if "ON_LINGERS" in os.environ:
        subprocess.call(argv)
        open(os.environ["ON_LINGERS"])  # a pipe that nobody writes to
    os.execvp(argv[0], argv)
tasks = {}
signal.signal(signal.SIGTERM, lambda *_: [task.terminate() for task in tasks.values()])
for rank, place in enumerate(places):
    env = {**os.environ, "NODE_NAME": place, "MY_RANK": str(rank)}
    task = subprocess.Popen(argv, env=env)
    tasks[task.pid] = task
worst = 0
while tasks:
    pid, status = os.wait()
    code = os.waitstatus_to_exitcode(status)
    del tasks[pid]
    worst = worst or (128 - code if code < 0 else code)
    if code and together == "yes":
        for task in tasks.values():
            task.terminate()
sys.exit(worst)
"""
)
CLIENT = """
import json, os, redis
auth = json.load(open(os.environ["SMARTCORE_DB_AUTH"]))
host, port = os.environ["SSDB"].split(",")[0].split(":")
make = redis.RedisCluster if os.environ["SR_DB_TYPE"] == "Clustered" else redis.Redis
client = make(host=host, port=int(port), **auth)
for number in range(20):
    client.set(f"key{number}", number)
print(client.get("key7"), os.environ["NODE_NAME"])
"""


def points(site: Site) -> list[EntryPoint]:
    """The plugins of a test, and those that are installed."""
    return [*site.points(), *entry_points(group="smartcore")]


def use(exp: Experiment, name: str = "model") -> str:
    """What a model says that writes to the database and reads from it, and its node."""
    run = exp.create_run_settings(sys.executable, ["-c", CLIENT])
    model = exp.create_model(name, run)
    exp.start(model)
    path = Path(model.path)
    assert exp.statuses()[name].state is State.COMPLETED, (path / f"{name}.err").read_text()
    return (path / f"{name}.out").read_text().strip()


def kill_server(database: Orchestrator, shard: int = 0, number: int = signal.SIGKILL) -> None:
    """Send the server of one shard a signal."""
    shown = f"redis-server {database.get_address()[shard]}"
    (server,) = [each for each in psutil.process_iter() if shown in " ".join(arguments(each))]
    server.send_signal(number)


def arguments(process: psutil.Process) -> list[str]:
    """The command line of a process; nothing if it has ended."""
    try:
        return process.cmdline()
    except psutil.Error:
        return []


def clients(database: Orchestrator) -> list[redis.Redis]:
    """One of each shard."""
    assert database.live is not None
    auth = json.loads(database.live.auth_file.read_text())
    found = [address.split(":") for address in database.live.addresses]
    return [redis.Redis(host=host, port=int(port), **auth) for host, port in found]

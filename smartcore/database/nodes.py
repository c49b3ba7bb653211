"""Shards that run on other hosts: what is written for them there, and what they tell.

Where a shard listens is known on its node only. So its configuration is written with words that
stand for addresses, and :mod:`smartcore.launch.shard` fills them in on the node.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from smartcore.launch import shard as program
from smartcore.launch.asking import question_of
from smartcore.launch.step import make_tag
from smartcore.spec import (
    Command,
    Credentials,
    DatabaseBackend,
    File,
    Placement,
    Ready,
    Resources,
    Server,
    ShardAddress,
    ShardPlan,
    Step,
    Tag,
)
from smartcore.spec.addresses import HIGHEST_PORT, LOWEST_PORT

from .orchestrator import Orchestrator
from .plan import planned_credentials, server_options
from .ports import port_offsets

if TYPE_CHECKING:
    from smartcore.launch.shard import Roll, Spec

GRACE = timedelta(seconds=5)
# So much longer than a server may take to serve, nodes may take to start their first program.
PATIENCE = 10

# Numbers that stand for ports: no port is so large, and nothing else in a configuration is.
_PORT_WORD = 731_905_000_000_000
_NEXT_WORD = 1_000_000

Front = Callable[[Sequence[str], Path, Placement], Command]
"""Puts what places a program in front of it: given its arguments, its directory, and where."""


@dataclass(frozen=True, slots=True)
class Ground:
    """Where the shards of one database run, if not on this host.

    :param directory: of mode 0700, on a file system that this host and the nodes have
    :param front: puts the run command in front
    :param resources: what each launch needs, in order; with hosts where they are chosen
    :param node_variable: by which a program learns its node's name; empty if ``uname`` tells it
    :param places: False if there is no run command, so that shards run wherever their job does
    :param ranks: variables that tell a shard its rank, if one command launches all of them; empty
        if each has a command of its own
    :param nodes: how many nodes of a job that waits for them the shards are spread over; 0 if they
        do not run in one
    :param interfaces: where shards listen if the database does not say; none for the address of
        the node's own name
    """

    directory: Path
    front: Front
    resources: tuple[Resources, ...]
    node_variable: str = ""
    places: bool = True
    ranks: tuple[str, ...] = ()
    nodes: int = 0
    interfaces: tuple[str, ...] = ()

    def meeting(self, tag: str) -> Path:
        """The directory in which the shards of one launch meet."""
        return self.directory / "meetings" / tag

    def script(self, tag: str, content: Spec | Roll) -> File:
        """What the program on a node reads, as a file."""
        path = self.directory / "scripts" / f"{tag}.json"
        return File(path, json.dumps(content, indent=1) + "\n")

    def placed(self, step: Step, placement: Placement) -> Step:
        """The same step on the node that it was given."""
        return replace(step, command=self.command(step.command.files, step.cwd, placement))

    def command(self, files: Sequence[File], cwd: Path, placement: Placement) -> Command:
        """The command that runs shards on their nodes; the first file is what they read."""
        # -I -S: the program needs nothing that is installed, and no variables of the user.
        argv = (sys.executable, "-I", "-S", program.__file__, str(files[0].path))
        node = placement.hosts if self.places and len(placement.hosts) == 1 else ()
        made = self.front((*argv, *node), cwd, placement)
        return replace(made, files=tuple({f.path: f for f in (*files, *made.files)}.values()))


def template_shards(
    database: Orchestrator, backend: DatabaseBackend, credentials: Credentials
) -> tuple[ShardPlan, ...]:
    """One plan for each shard, with words for its addresses and its port."""
    count = database.num_shards
    peers = tuple(
        ShardAddress(f"smartcore-host-{index}-", _PORT_WORD + index * _NEXT_WORD)
        for index in range(count)
    )
    further = [f"smartcore-further-{index}-" for index in range(1, len(interfaces(database)))]
    return tuple(
        ShardPlan(
            name=f"{database.db_identifier}_{index}",
            directory=Path(database.path),
            address=address,
            peers=peers,
            index=index,
            credentials=credentials,
            options=server_options(database, backend),
            further_hosts=tuple(further),
        )
        for index, address in enumerate(peers)
    )


def interfaces(database: Orchestrator) -> list[str]:
    """Names of the interfaces to listen on; none for the address of the node's own name."""
    given = database.interface
    return [given] if isinstance(given, str) else list(given or ())


def nodes_wanted(database: Orchestrator) -> int:
    """How many nodes its shards are spread over, if there are so many."""
    count, each = database.num_shards, database.shards_per_node
    most = -(-count // each) if each else count
    return min(most, len(set(database.placed_on)) or most)


def planned_on_nodes(
    database: Orchestrator, backend: DatabaseBackend, ground: Ground, environment: Mapping[str, str]
) -> list[Step]:
    """The steps that a start would run, for a preview; without secrets.

    :raises DatabaseError: no server program was found
    """
    if database.live is not None:
        return list(database.live.steps)
    server = backend.find(environment)
    shards = template_shards(database, backend, planned_credentials(database))
    tag, timeout = make_tag(database.name), timedelta(0)
    return list(node_steps(database, backend, server, shards, tag, ground, timeout))


def shard_spec(
    shard: ShardPlan,
    command: Command,
    ready: Ready,
    inquiry: Ready,
    *,
    interfaces: Sequence[str],
    port: int,
    offsets: Sequence[int],
    tag: str,
    step: str,
    ground: Ground,
    timeout: timedelta,
) -> Spec:
    """What the program on the node reads.

    :param interfaces: where it listens; none for the address of the node's own name
    :param port: the one that was asked for, 0 for a free one
    :param offsets: what it needs, as distances from its port
    :param tag: of the launch
    :param step: tag of the step that the shard is, or is a part of
    """
    identifier = shard.name.rpartition("_")[0]
    return {
        "version": program.VERSION,
        "tag": tag,
        "step": step,
        "index": shard.index,
        "shards": [
            {
                "name": f"{identifier}_{index}",
                "host": peer.host,
                "ports": [str(peer.port + offset) for offset in offsets],
            }
            for index, peer in enumerate(shard.peers)
        ],
        "further": list(shard.further_hosts),
        "interfaces": list(interfaces),
        "node_variable": ground.node_variable,
        "port": port,
        "ports": (LOWEST_PORT, HIGHEST_PORT),
        "offsets": list(offsets),
        "meeting": str(ground.meeting(tag)),
        "argv": list(command.argv),
        "files": {str(file.path): file.text for file in command.files},
        "cwd": str(shard.directory),
        "output": str(shard.directory / f"{shard.name}.out"),
        "ready": question_of(ready),
        "inquiry": question_of(inquiry),
        "timeout": timeout.total_seconds(),
        "patience": PATIENCE * timeout.total_seconds(),
        "grace": GRACE.total_seconds(),
    }


def spec_again(
    shard: ShardPlan,
    command: Command,
    ready: Ready,
    *,
    offsets: Sequence[int],
    tag: str,
    step: str,
    ground: Ground,
    timeout: timedelta,
) -> Spec:
    """What the program on the node reads for a shard that comes back where it was, alone and with
    the files that it has.
    """
    spec = shard_spec(
        replace(shard, further_hosts=()),
        replace(command, files=()),
        ready,
        Ready(),
        interfaces=(),
        port=shard.address.port,
        offsets=offsets,
        tag=tag,
        step=step,
        ground=ground,
        timeout=timeout,
    )
    addresses = [shard.address.host, *shard.further_hosts]
    return {**spec, "index": 0, "shards": [spec["shards"][shard.index]], "addresses": addresses}


def node_steps(
    database: Orchestrator,
    backend: DatabaseBackend,
    server: Server,
    shards: Sequence[ShardPlan],
    tag: str,
    ground: Ground,
    timeout: timedelta,
) -> tuple[Step, ...]:
    """The step of each shard, or that of all; what they read is in the steps' files."""
    tags = [make_tag(shard.name) for shard in shards]
    files = []
    for shard, own in zip(shards, tags, strict=True):
        spec = shard_spec(
            shard,
            backend.command(server, shard),
            backend.readiness(shard),
            backend.inquiry(shard),
            interfaces=interfaces(database) or ground.interfaces,
            port=database.port or 0,
            offsets=port_offsets(backend, len(shards)),
            tag=tag,
            step=tag if ground.ranks else own,
            ground=ground,
            timeout=timeout,
        )
        files.append(ground.script(own, spec))
    if ground.ranks:
        roll: Roll = {
            "version": program.VERSION,
            "rank_variables": list(ground.ranks),
            "specs": [str(file.path) for file in files],
        }
        reads = (ground.script(tag, roll), *files)
        return (_step(database.name, Tag(tag), reads, Path(database.path), ground, 0),)
    return tuple(
        _step(shard.name, own, (file,), shard.directory, ground, shard.index)
        for shard, own, file in zip(shards, tags, files, strict=True)
    )


def _step(
    name: str, tag: Tag, files: Sequence[File], directory: Path, ground: Ground, index: int
) -> Step:
    resources = ground.resources[index]
    # Where the nodes are not known yet, one that starts all shards spreads them itself.
    spread = ground.nodes and not (resources.hosts or ground.ranks)
    first = index % ground.nodes if spread else None
    return Step(
        name=name,
        tag=tag,
        command=ground.command(files, directory, Placement(resources.hosts, first=first)),
        cwd=directory,
        stdout=directory / f"{name}.out",
        stderr=directory / f"{name}.err",
        resources=resources,
    )

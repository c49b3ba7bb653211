"""Starting a database: shards, readiness, and what to do if somebody was quicker at a port."""

from __future__ import annotations

import errno
import logging
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Protocol

from smartcore.error import DatabaseError, PluginMissingError, UnsupportedError
from smartcore.launch import asking
from smartcore.launch.death import DIRECTORY
from smartcore.launch.report import tail
from smartcore.launch.step import make_tag
from smartcore.log import get_logger
from smartcore.spec import Certificate, Credentials, DatabaseBackend, Ready, Server, ShardPlan, Step

from .checkpoint import shard_count, write_checkpoint
from .credentials import new_credentials, write_private, write_secret
from .kept import described
from .live import LiveDatabase
from .meeting import Meeting, await_shards, nodes_of, real_shards
from .nodes import Ground, interfaces, node_steps, nodes_wanted, template_shards
from .orchestrator import Orchestrator
from .plan import (
    authority_file,
    given_files,
    plan_shards,
    secret_files,
    server_options,
    shard_steps,
)
from .ports import choose_ports, listen_hosts, port_offsets

log = get_logger(__name__)

TIMEOUT = timedelta(seconds=60)
_ATTEMPTS = 5
# Seconds between looks at a server that starts: a share of what it has taken so far, so that it is
# found ready at most that much too late.
_SHORTEST_PAUSE, _LONGEST_PAUSE = 0.0005, 0.02
_SHARE = 0.1
_ASK_TIMEOUT = timedelta(seconds=0.25)


class Runner(Protocol):
    """Runs the shards of one database on some launcher. After ``stop`` it may start others."""

    def start(self, steps: Sequence[Step]) -> None:
        """Hand all shards over to the launcher."""

    def jobs(self) -> Mapping[str, str]:
        """The launcher's id of each step that has started, by the step's name."""

    def failure(self) -> str:
        """Which shard has ended, and how; empty while all live or wait."""

    def waits(self) -> bool:
        """True while a shard waits for its place, and so does not run."""

    def stop(self) -> None:
        """End all shards; return when they have ended."""


class _PortTakenError(DatabaseError):
    """Somebody else was quicker."""


def start_database(
    database: Orchestrator,
    runner: Runner,
    backend: DatabaseBackend,
    *,
    environment: Mapping[str, str],
    allow_unauthenticated: bool = False,
    server: Server | None = None,
    ground: Ground | None = None,
    timeout: timedelta = TIMEOUT,
    clock: Callable[[], float] = time.monotonic,
) -> LiveDatabase:
    """Start all shards and return when they serve; on any error nothing is left running.

    :param environment: variables that say where servers are
    :param allow_unauthenticated: what holds if the database itself does not say
    :param server: the program, if it was found before
    :param ground: where it runs, if not on this host
    :param timeout: how long it may take; on other hosts, when all shards run
    :raises DatabaseError: no server, a port in use, a setting refused, or no answer in time; with
        the end of the server's output
    :raises InputError: no such network interface, or a setting that the server does not know
    :raises UnsupportedError: it is to have TLS, and the server has none
    """
    if database.live is not None:
        raise DatabaseError(f"the database {database.db_identifier!r} is running; stop it first")
    server = server or backend.find(environment)
    backend.check(server, server_options(database, backend))
    if database.allow_unauthenticated is not None:
        allow_unauthenticated = database.allow_unauthenticated
    credentials = _credentials(database, backend, server, allow_unauthenticated)
    hosts = [] if ground is not None else listen_hosts(database.interface)
    Path(database.path).mkdir(parents=True, exist_ok=True)
    _tell_what_it_reads(database, backend)
    _warn_if_open(database, credentials, hosts or interfaces(database) or ["its nodes"])
    # What it says is not true any more, with other passwords and in a while with other addresses.
    Path(database.checkpoint_file).unlink(missing_ok=True)
    auth, admin = _write_secrets(database, credentials, backend, server)
    nodes: tuple[str, ...] = ()
    if ground is None:
        shards, steps = _serving(
            database, runner, backend, server, credentials, hosts, Deadline(timeout, clock)
        )
    else:
        shards, steps, nodes = _serving_on_nodes(
            database, runner, backend, server, credentials, ground, timeout, clock
        )
    live = LiveDatabase(
        identifier=database.db_identifier,
        backend=database.backend,
        server=server,
        shards=shards,
        steps=steps,
        auth_file=auth,
        admin_file=admin,
        jobs=dict(runner.jobs()),
        environment=dict(backend.environment(shards)),
        nodes=nodes,
        placing=database.placing,
    )
    try:
        write_checkpoint(live, Path(database.checkpoint_file))
        database.bind(live, backend)
    except BaseException:
        runner.stop()
        raise
    return live


def _credentials(
    database: Orchestrator, backend: DatabaseBackend, server: Server, open_access: bool
) -> Credentials:
    certificate, peers = _certificates(database, backend, server)
    made = new_credentials(open_access=open_access)
    return replace(made, certificate=certificate, peers=peers)


def _write_secrets(
    database: Orchestrator, credentials: Credentials, backend: DatabaseBackend, server: Server
) -> tuple[Path, Path]:
    auth, admin = secret_files(database)
    files = given_files(backend, server, template_shards(database, backend, credentials))
    write_secret(auth, credentials.user, credentials.password)
    write_secret(admin, credentials.admin, credentials.admin_password, files)
    if credentials.certificate is not None:
        write_private(credentials.certificate.file, credentials.certificate.authority)
    return auth, admin


def _tell_what_it_reads(database: Orchestrator, backend: DatabaseBackend) -> None:
    shards = template_shards(database, backend, Credentials(""))
    found = {shard.name: backend.saved(shard) for shard in shards}
    saved = {name: each for name, each in found.items() if each is not None}
    if not saved:
        return
    name = database.db_identifier
    empty = f"another path, or exp.generate(..., overwrite=True), gives {name!r} an empty directory"
    earlier = shard_count(Path(database.checkpoint_file))
    if earlier not in {None, len(shards)}:
        raise DatabaseError(
            f"{database.path} has the data of {name!r} with {earlier} shard(s), which one with"
            f" {len(shards)} cannot read; {empty}"
        )
    for shard, each in saved.items():
        # Who asked for checkpoints expects this; who did not may not know that there is one.
        level = logging.INFO if "save" in database.options else logging.WARNING
        log.log(level, "%s begins with the data in %s; %s", shard, described(each), empty)


def _certificates(
    database: Orchestrator, backend: DatabaseBackend, server: Server
) -> tuple[Certificate | None, Certificate | None]:
    """For clients, and for the shards among themselves."""
    file, several = authority_file(database), database.num_shards > 1
    if database.tls:
        certificate = backend.certificate(server, file, clients=True)
        return certificate, certificate if several else None
    if database.tls is False or not several:
        return None, None
    try:
        return None, backend.certificate(server, file, clients=False)
    except (UnsupportedError, PluginMissingError) as error:
        log.warning(
            "the shards of %r ask one another for no password: other users who reach them can take"
            " them over; %s, or say tls=False if there are none",
            database.db_identifier,
            error,
        )
        return None, None


def _warn_if_open(database: Orchestrator, credentials: Credentials, hosts: Sequence[str]) -> None:
    if credentials.open:
        log.warning(
            "the database %r asks for no password: whoever reaches %s can read and write it",
            database.db_identifier,
            ", ".join(hosts),
        )


def _serving(
    database: Orchestrator,
    runner: Runner,
    backend: DatabaseBackend,
    server: Server,
    credentials: Credentials,
    hosts: Sequence[str],
    deadline: Deadline,
) -> tuple[tuple[ShardPlan, ...], tuple[Step, ...]]:
    count = database.num_shards
    for attempt in range(1, _ATTEMPTS + 1):
        ports = choose_ports(hosts, database.port, count, port_offsets(backend, count))
        shards = plan_shards(database, backend, credentials, hosts, ports)
        steps = shard_steps(backend, server, shards, database.resources())
        try:
            runner.start(steps)
            await_serving(runner, backend, shards, steps, deadline)
            _verify(runner, backend, shards, steps, deadline)
        except _PortTakenError as error:
            runner.stop()
            # A port that the user chose is the user's to change.
            if database.port or attempt == _ATTEMPTS:
                raise DatabaseError(str(error)) from error
            log.debug("another port, as somebody was quicker: %s", error)
        except BaseException:
            runner.stop()
            raise
        else:
            return shards, steps
    raise AssertionError("unreachable")


def _serving_on_nodes(
    database: Orchestrator,
    runner: Runner,
    backend: DatabaseBackend,
    server: Server,
    credentials: Credentials,
    ground: Ground,
    timeout: timedelta,
    clock: Callable[[], float],
) -> tuple[tuple[ShardPlan, ...], tuple[Step, ...], tuple[str, ...]]:
    tag = make_tag(database.name)
    Path(database.path, DIRECTORY).mkdir(mode=0o700, exist_ok=True)
    shards = template_shards(database, backend, credentials)
    steps = node_steps(database, backend, server, shards, tag, ground, timeout)
    meeting = Meeting(ground.meeting(tag), tag, [shard.name for shard in shards])
    try:
        runner.start(steps)
        await_shards(meeting, runner.failure, runner.waits, timeout, clock=clock)
        served = real_shards(shards, meeting.found)
        answers = [where["answer"].encode("latin-1") for where in meeting.found]
        _judge(backend, served, answers)
    except BaseException as error:
        runner.stop()
        meeting.remove()
        if isinstance(error, DatabaseError):
            raise DatabaseError(explained(str(error), backend, shards, steps)) from None
        raise
    nodes = nodes_of(meeting.found)
    if len(set(nodes)) < nodes_wanted(database):
        log.warning(
            "shards of %r share nodes: %s; hosts=[...] names one for each",
            database.name,
            ", ".join(nodes),
        )
    return served, steps, nodes


class Deadline:
    """A time by which something must have happened."""

    def __init__(self, timeout: timedelta, clock: Callable[[], float]) -> None:
        self.timeout = timeout
        self._clock = clock
        self._begin = clock()

    @property
    def past(self) -> float:
        """Seconds since it was made."""
        return self._clock() - self._begin

    @property
    def left(self) -> float:
        """Seconds until then."""
        return self.timeout.total_seconds() - self.past


def await_serving(
    runner: Runner,
    backend: DatabaseBackend,
    shards: Sequence[ShardPlan],
    steps: Sequence[Step],
    deadline: Deadline,
    served: Callable[[], bool] | None = None,
) -> None:
    """Return when all shards serve.

    :param steps: those that the runner was given
    :param served: whether they do; None asks the back end
    :raises DatabaseError: one of them has ended, or they take too long
    """
    served = served or partial(_answers, backend, shards)
    while not served():
        failure = runner.failure()
        if failure:
            message = explained(failure, backend, shards, steps)
            taken = os.strerror(errno.EADDRINUSE) in message
            raise (_PortTakenError if taken else DatabaseError)(message)
        if deadline.left <= 0:
            seconds = deadline.timeout.total_seconds()
            names = ", ".join(shard.name for shard in shards)
            raise DatabaseError(f"{names} did not serve within {seconds:g} s{_outputs(steps)}")
        # Nothing tells when a server begins to listen; the process's end is seen by the runner.
        pause = min(max(_SHORTEST_PAUSE, _SHARE * deadline.past), _LONGEST_PAUSE)
        time.sleep(min(pause, max(deadline.left, 0)))


def _verify(
    runner: Runner,
    backend: DatabaseBackend,
    shards: Sequence[ShardPlan],
    steps: Sequence[Step],
    deadline: Deadline,
) -> None:
    answers: list[bytes] = []
    for question in map(backend.inquiry, shards):
        answered = partial(_asked, question, answers)
        await_serving(runner, backend, shards, steps, deadline, answered)
    try:
        _judge(backend, shards, answers)
    except DatabaseError as error:
        raise DatabaseError(f"{error}{_outputs(steps)}") from None


def _asked(question: Ready, answers: list[bytes]) -> bool:
    answer = asking.ask(_as_asked(question)) if question.send else b""
    if answer is not None:
        answers.append(answer)
    return answer is not None


def _as_asked(question: Ready) -> asking.Ready:
    where = question.host, question.port, question.socket
    return asking.Ready(*where, timeout=0, **asking.question_of(question))


def _judge(backend: DatabaseBackend, shards: Sequence[ShardPlan], answers: Sequence[bytes]) -> None:
    left: dict[str, str] = {}
    for shard, answer in zip(shards, answers, strict=True):
        left |= backend.verify(shard, answer)
    for name, reason in left.items():
        log.warning("whether the database has taken %s was not verified: %s", name, reason)


def _answers(backend: DatabaseBackend, shards: Sequence[ShardPlan]) -> bool:
    try:
        return backend.ready(shards, _ASK_TIMEOUT)
    except DatabaseError as error:
        raise _PortTakenError(str(error)) from error


def explained(
    failure: str, backend: DatabaseBackend, shards: Sequence[ShardPlan], steps: Sequence[Step]
) -> str:
    """A failure of shards with the end of their output, after what that means, if it is known."""
    reasons = []
    for step in steps:
        # A step that is none of the shards runs all of them; each has an output of its own, and
        # what the step itself said may be of any.
        own = [shard for shard in shards if shard.name == step.name]
        for shard in own or shards:
            output = tail(shard.directory / f"{shard.name}.out")
            said = backend.explain(shard, f"{output}\n{tail(step.stderr)}" if own else output)
            if said:
                reasons.append(f"{shard.name} did not start: {said}\n")
    return "".join([*reasons, failure, _outputs(steps, failure)])


def _outputs(steps: Sequence[Step], told: str = "") -> str:
    # Servers write what goes wrong to their log, which is their standard output, but what is wrong
    # with their configuration to standard error.
    shown = []
    for path in (path for step in steps for path in (step.stderr, step.stdout)):
        lines = tail(path).splitlines()
        if lines and lines[-1] not in told:
            text = "".join(f"\n    {line}" for line in lines)
            shown.append(f"\n{path} ends with:{text}")
    return "".join(shown)

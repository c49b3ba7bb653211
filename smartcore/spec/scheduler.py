"""What a plugin tells about a command-line scheduler: pure functions and data; the core does the
rest.

A plugin for a workload manager with commands for submitting, asking and cancelling implements
:class:`CommandLineScheduler`, and its launcher's factory is one line::

    def launcher(context: LauncherContext) -> Launcher:
        return context.batch(MyScheduler())

No method here runs a command, reads a file, looks at the clock or at ``os.environ``: all can be
tested from recorded transcripts. The core owns processes, timeouts, chunking, limits of rate,
retries, the look-up after an ambiguous submit, the batch script's body with the wrapper that
records exit codes, and the decision what the evidence means.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from enum import Enum
from pathlib import Path
from typing import Final, NewType

from .ids import Tag
from .run import Completed
from .state import Cause, State
from .work import Resources

NativeId = NewType("NativeId", str)
"""A job, or a member of an array, as the scheduler's own commands take it: ``123_4;cluster``."""


@dataclass(frozen=True, slots=True)
class Invocation:
    """One command of the scheduler that the core is to run.

    :param argv: the program and its arguments
    :param stdin: file to give as standard input (some submit commands read directives only there)
    """

    argv: tuple[str, ...]
    stdin: Path | None = None


@dataclass(frozen=True, slots=True)
class Submission:
    """What a submit command must ask for.

    :param name: the job's name, already through ``clean_name``
    :param tag: must end up in the job's name or comment, so that ``lookup`` finds it
    :param script: absolute path of the batch script, written before the command runs
    :param log: file for what the scheduler or the script itself says; the steps' own output
        never goes there
    :param cwd: absolute path of the directory to start in
    :param resources: what the job needs
    :param arguments: further arguments as the user gave them, ``name -> value``
    :param members: size of the array, 0 for a job that is none
    :param throttle: how many members may run at once; 0 for no limit
    :param requeue: False if it must not be begun again when it has lost its nodes
    """

    name: str
    tag: Tag
    script: Path
    log: Path
    cwd: Path
    resources: Resources = field(default_factory=Resources)
    arguments: Mapping[str, str | None] = field(default_factory=dict)
    members: int = 0
    throttle: int = 0
    requeue: bool = True


class Refusal(Enum):
    """Why a submit gave no id, which decides what happens next."""

    PERMANENT = "permanent"
    """Asking again cannot help (bad account, queue, option): an error at once."""
    TRANSIENT = "transient"
    """Certainly not accepted, and may be later (server busy or down): tried again."""
    QUOTA = "quota"
    """Certainly not accepted, because of a limit on jobs: kept, and tried again later."""
    AMBIGUOUS = "ambiguous"
    """The job may exist (time-out, lost connection, unreadable answer): its tag is looked up."""


@dataclass(frozen=True, slots=True)
class Refused:
    """A submit gave no id.

    :param kind: what that means
    :param reason: the scheduler's own words
    """

    kind: Refusal
    reason: str


SubmitAnswer = NativeId | Refused


@dataclass(frozen=True, slots=True)
class Unavailable:
    """A source of facts that is not there at this site, such as accounting that is switched off.

    :param reason: the scheduler's own words
    """

    reason: str


@dataclass(frozen=True, slots=True)
class JobRecord:
    """One line of a scheduler's answer about one job or member.

    :param id: as the scheduler spells it here; compared by ``key``
    :param state: the scheduler's own word
    :param returncode: as ``subprocess`` counts; None where it is not told
    :param reason: why it waits, or why it ended, in the scheduler's own words
    :param host: the first host it runs on
    :param elapsed: how long it has run
    :param restarts: how often it was requeued; None where it is not told
    :param blocked: it waits, and by what ``reason`` says will do so for ever unless somebody
        changes the job or the site: more nodes than there are, a job that it depends on has failed
    :param vague: it has ended, and the accounting can say more about why
    """

    id: NativeId
    state: str
    returncode: int | None = None
    reason: str = ""
    host: str = ""
    elapsed: timedelta | None = None
    restarts: int | None = None
    blocked: bool = False
    vague: bool = False


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one of the scheduler's words means.

    :param state: the state; ``UNKNOWN`` for a word that means nothing to us
    :param cause: why, for the states that are ends
    """

    state: State
    cause: Cause | None = None


UNKNOWN_WORD: Final = Outcome(State.UNKNOWN)


@dataclass(frozen=True, slots=True)
class Variables:
    """Names of environment variables that matter to a scheduler; patterns as in :mod:`fnmatch`.

    :param set_by_jobs: what a running job has; removed when submitting, so that a job submitted
        from inside another one does not inherit that one's facts
    :param kept: exceptions to ``set_by_jobs``: configuration of the client
    :param format_queries: what changes the output of queries; removed when asking
    :param query: set when asking, besides ``LC_ALL=C``
    :param job_id: the variable by which a running job knows its id
    :param restarts: the same for how often it was requeued, empty if there is none
    :param index: the same for the index of a member in its array
    :param array: the same for the id of the whole array, empty if ``job_id`` tells it
    :param host: the same for the name of its host, empty if ``uname -n`` tells it
    """

    set_by_jobs: tuple[str, ...]
    job_id: str
    index: str
    kept: tuple[str, ...] = ()
    format_queries: tuple[str, ...] = ()
    query: Mapping[str, str] = field(default_factory=dict)
    restarts: str = ""
    array: str = ""
    host: str = ""


@dataclass(frozen=True, slots=True)
class Rates:
    """How hard a scheduler may be pressed: defaults, which a site or a user may lower or raise.

    The limits hold for all experiments of one user on one host together.

    :param timeout: how long one command may take before its whole process group is killed
    :param queries_per_minute: queries and cancels
    :param query_burst: how many of them may come at once
    :param submits_per_second: submits
    :param submit_burst: how many of them may come at once
    :param first_interval: between two queries, soon after a change
    :param last_interval: between two queries, when nothing changes
    :param query_chunk: ids in one query; 0 if one query tells of all the user's jobs
    :param accounting_chunk: ids in one question to the accounting
    :param cancel_chunk: ids in one cancel
    :param array_limit: members of one array, larger ones are split; 0 if there are no arrays
    :param accounting_lag: how long an ended job may be missing from the accounting
    :param record_lag: how long an exit record may be on its way through the file system, until
        some have been seen
    """

    timeout: timedelta = timedelta(seconds=30)
    queries_per_minute: float = 30.0
    query_burst: int = 5
    submits_per_second: float = 10.0
    submit_burst: int = 50
    first_interval: timedelta = timedelta(seconds=1)
    last_interval: timedelta = timedelta(seconds=30)
    query_chunk: int = 0
    accounting_chunk: int = 200
    cancel_chunk: int = 100
    array_limit: int = 1000
    accounting_lag: timedelta = timedelta(seconds=15)
    record_lag: timedelta = timedelta(seconds=10)


class CommandLineScheduler(ABC):
    """A workload manager that is spoken to by commands.

    Class attributes hold the facts, methods are pure. Parsers are given everything that a command
    left: its exit code alone often says nothing.
    """

    name: str
    """The workload manager's name; part of the name of the file in which limits of rate are kept"""
    variables: Variables
    """Its environment variables."""
    words: Mapping[str, Outcome]
    """Its words for states. A word that is not here reads as ``UNKNOWN`` and changes nothing."""
    rates: Rates = Rates()
    """How hard it may be pressed unless somebody says otherwise."""
    index_base: int = 0
    """The index of the first member of an array."""

    # -- submit ---------------------------------------------------------------------------------

    @abstractmethod
    def directives(self, submission: Submission, /) -> Sequence[str]:
        """The lines of the batch script, directly after ``#!``, that ask for what is needed.

        What the scheduler itself has to say goes to ``submission.log``; the environment of the
        submit command must reach the job.
        """

    @abstractmethod
    def submit(self, submission: Submission, /) -> Invocation:
        """The command that submits ``submission.script``."""

    @abstractmethod
    def parse_submit(self, completed: Completed, /) -> SubmitAnswer:
        """The id, or why there is none.

        Never guesses: chatter of a site may stand before and after the id. An answer that cannot be
        read, and any error that is not known for certain, is ``AMBIGUOUS``.
        """

    @abstractmethod
    def lookup(self, tag: Tag, /) -> Invocation:
        """The command that finds a job by its tag."""

    @abstractmethod
    def parse_lookup(self, completed: Completed, tag: Tag, /) -> Sequence[NativeId]:
        """The jobs that carry the tag; a prefix of a tag is none.

        :raises LauncherError: this is no answer, so that nothing is known
        """

    # -- ask ------------------------------------------------------------------------------------

    @abstractmethod
    def query(self, ids: Sequence[NativeId], /) -> Invocation:
        """The command that asks about jobs, of one scope; the ids may be ignored if it tells of all
        the user's jobs.
        """

    @abstractmethod
    def parse_query(self, completed: Completed, /) -> Sequence[JobRecord]:
        """What it told. Jobs that it does not know are not in the answer; that one of them is
        unknown must not hide the others, whatever the exit code is.

        :raises LauncherError: this is no answer, so that nothing is known
        """

    def accounting(self, ids: Sequence[NativeId], /) -> Invocation | None:
        """The command that asks about jobs that have ended; None: there is none."""
        return None

    def parse_accounting(self, completed: Completed, /) -> Sequence[JobRecord] | Unavailable:
        """What it told.

        :raises LauncherError: this is no answer, so that nothing is known
        """
        return Unavailable("there is no accounting")

    def outcome(self, record: JobRecord, /) -> Outcome:
        """What a record means; by default its word in ``words``."""
        return self.words.get(record.state, UNKNOWN_WORD)

    # -- cancel ---------------------------------------------------------------------------------

    @abstractmethod
    def cancel(self, ids: Sequence[NativeId], /) -> Invocation:
        """The command that ends jobs, of one scope. Whether it worked is seen by asking."""

    # -- ids ------------------------------------------------------------------------------------

    def key(self, native: NativeId, /) -> str:
        """What two spellings of one job have in common; jobs are compared by it only."""
        return native

    def scope(self, native: NativeId, /) -> str:
        """The cluster or server to ask; one command never has ids of two."""
        return ""

    def member(self, native: NativeId, index: int, /) -> NativeId:
        """The id of a member of an array.

        :param index: as the scheduler counts, from ``index_base``
        """
        return NativeId(f"{native}_{index}")

    def clean_name(self, name: str, /) -> str:
        """A name that the scheduler accepts, as much like ``name`` as can be."""
        cleaned = re.sub(r"[^A-Za-z0-9_.-]", "_", name)[:64]
        return cleaned if re.match(r"[A-Za-z_]", cleaned) else f"_{cleaned}"[:64]

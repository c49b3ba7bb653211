"""The engine: one thread that feeds a launcher, hears of ends, and tells who waits."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import TypeVar

from smartcore.error import LauncherError, WaitTimeoutError
from smartcore.launch.countdown import Countdown, await_event, await_ticking
from smartcore.launch.handover import hand_over, works_of
from smartcore.launch.inquiry import Inquiry
from smartcore.launch.run import Run
from smartcore.launch.waiting import Waiting
from smartcore.log import get_logger
from smartcore.spec import (
    ABSENT,
    Absent,
    Answer,
    Attaches,
    Cause,
    Closes,
    JobId,
    Launcher,
    Limits,
    NativeIds,
    Node,
    Places,
    Source,
    State,
    Status,
    Watches,
)

log = get_logger(__name__)

T = TypeVar("T")

# Beyond the launcher's own grace periods, a stop that has not shown its effect by now never will.
STOP_DEADLINE = 60.0


class Engine:
    """Runs what it is given, in order, on one launcher, and keeps what is known about it.

    The launcher is called from the engine's own thread only. Messages to that thread are callables
    in one queue, so that starts, stops and ends have one order.

    :param launcher: what starts and stops
    :param max_running: how many limited runs may be active at once; None asks the launcher
    :param before_start: called from the engine's thread with the runs that the launcher is about to
        be given together
    :param on_start: called from the engine's thread with the runs that were started together
    :param on_end: called from the engine's thread after each end, before waiters wake
    :param again: called from the engine's thread when a run is about to have ended so: the run that
        takes its place and that its waiters wait for, or None
    """

    def __init__(
        self,
        launcher: Launcher,
        *,
        max_running: int | None = None,
        before_start: Callable[[Sequence[Run]], None] = lambda runs: None,
        on_start: Callable[[Sequence[Run]], None] = lambda runs: None,
        on_end: Callable[[Run], None] = lambda run: None,
        again: Callable[[Run, Status], Run | None] = lambda run, status: None,
    ) -> None:
        if max_running is None and isinstance(launcher, Limits):
            max_running = launcher.max_running
        self.launcher = launcher
        self._waiting = (
            Waiting(max_running, launcher.nodes)
            if isinstance(launcher, Places)
            else Waiting(max_running)
        )
        self._before_start = before_start
        self._on_start = on_start
        self._on_end = on_end
        self._again = again
        self._messages: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._active: dict[JobId, Run] = {}
        self._inquiry = Inquiry(launcher, self._heard)
        self._thread: threading.Thread | None = None
        self._thread_lock = threading.Lock()
        if isinstance(launcher, Watches):
            launcher.watch(lambda job, status: self._messages.put(lambda: self._heard(job, status)))

    # -- called from any thread -----------------------------------------------------------------

    def start(self) -> None:
        """Start the thread, which otherwise the first message does."""
        with self._thread_lock:
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._loop, name="smartcore-engine", daemon=True
                )
                self._thread.start()

    def submit(self, runs: Sequence[Run]) -> None:
        """Hand over runs, and return when those that the limit allows were started.

        The others follow, in this order, as runs end.
        """
        for run in runs:
            run.status = Status(State.QUEUED)
            run.submitted = time.monotonic()
        self._call(lambda: self._accept(runs))

    def attach(self, runs: Sequence[Run]) -> None:
        """Follow runs that another process started; their ``job`` is set. Returns when known.

        :raises LauncherError: they cannot be followed, since their launcher does not answer
        """
        self._call(lambda: self._attach(runs))

    def nodes(self, allocation: str, *, free: bool = False) -> Sequence[Node]:
        """What an allocation grants; nothing where the core does not plan.

        :param allocation: its id; empty for the one that this process is in
        :param free: only what is left of it
        """
        return self._answer(lambda: self._waiting.nodes(allocation, free=free), ())

    def native_ids(self, ids: Collection[JobId]) -> Mapping[JobId, str]:
        """What the workload manager calls jobs, as far as that is known, and another name than the
        id.
        """
        launcher = self.launcher
        if not ids or not isinstance(launcher, NativeIds):
            return {}
        return self._answer(lambda: launcher.native_ids(ids), {})

    def _answer(self, question: Callable[[], T], otherwise: T) -> T:
        try:
            return self._call(question)
        except LauncherError as error:
            log.warning("%s", error)
            return otherwise

    def _call(self, function: Callable[[], T]) -> T:
        # In the engine's thread: a launcher is called from no other.
        results: list[T] = []
        errors: list[LauncherError] = []
        done = threading.Event()

        def call() -> None:
            try:
                results.append(function())
            except LauncherError as error:
                errors.append(error)
            except Exception as error:  # a broken launcher's: raised to who waits
                log.debug("in the engine's thread", exc_info=True)
                kind = type(self.launcher).__name__
                errors.append(LauncherError(f"{kind}: {error or type(error).__name__}"))
            finally:
                done.set()

        self._tell(call)
        await_event(done)
        if errors:
            raise errors[0]
        return results[0]

    def cancel(self, runs: Sequence[Run], *, started: bool = True) -> None:
        """Ask for the end of runs, from any thread, also the engine's; returns at once.

        :param started: also of those that run; otherwise they are only kept from starting
        """
        self._messages.put(lambda: self._cancel(runs, started))

    def forestall(self, run: Run, news: Callable[[], Status | None]) -> None:
        """Have ``news`` called from the engine's thread, unless the run has ended or is to: of what
        the launcher will tell only later. From any thread; returns at once.

        :param news: how the run has ended; None if it goes on for now
        """
        self._messages.put(lambda: self._forestall(run, news))

    def stop(self, runs: Sequence[Run]) -> None:
        """End runs, and return when they have ended; what is queued never starts.

        :raises LauncherError: naming those that live on
        """
        self._call(lambda: self._stop(runs))
        try:
            self.wait(runs, timedelta(seconds=STOP_DEADLINE))
        except WaitTimeoutError as error:
            raise LauncherError(f"stop was asked for, but {error}") from None

    def wait(
        self,
        runs: Iterable[Run],
        timeout: timedelta | None = None,
        *,
        tick: Callable[[], None] | None = None,
        interval: float = 0.1,
    ) -> None:
        """Return when all ``runs`` have ended.

        :param timeout: how long to wait at the most; None for ever
        :param tick: called about every ``interval`` seconds meanwhile, for a display
        :raises WaitTimeoutError: naming some that go on
        """
        watched = list(runs)
        waiter = Countdown()
        self._tell(lambda: waiter.watch(watched))
        limit = None if timeout is None else timeout.total_seconds()
        if tick is None:
            ended = await_event(waiter.done, limit)
        else:
            ended = await_ticking(waiter.done, limit, tick, interval)
        if not ended:
            raise WaitTimeoutError(_still_going(watched, timeout))

    def close(self) -> None:
        """End the thread; what runs goes on. Safe to call twice."""
        with self._thread_lock:
            thread, self._thread = self._thread, None
        if thread is not None:
            self._messages.put(None)
            thread.join()
        if isinstance(self.launcher, Closes):
            self.launcher.close()

    def _tell(self, message: Callable[[], None]) -> None:
        self._messages.put(message)
        self.start()

    # -- the engine's thread --------------------------------------------------------------------

    def _loop(self) -> None:
        while True:
            try:
                message = self._messages.get(timeout=self._inquiry.patience)
            except queue.Empty:
                message = self._inquiry.ask
            if message is None:
                return
            try:
                message()
                if self._messages.empty():
                    self._fill()
            except Exception:  # the thread must live: everything else would hang
                log.exception("the engine met an error of its own; please report it")

    def _follow(self, run: Run, job: JobId) -> None:
        run.job, run.started = job, time.monotonic()
        self._active[job] = run
        self._inquiry.follow(run, job)

    def _accept(self, runs: Sequence[Run]) -> None:
        self._waiting.add(runs)
        self._fill()

    def _fill(self) -> None:
        again = True
        while again:  # who could not be started leaves room, or is tried once more
            starting, refused = self._waiting.next()
            for run, reason in refused:
                self._end(run, _not_started(reason))
            again = bool(refused)
            if starting:
                again |= self._start(starting)

    def _start(self, batch: Sequence[Run]) -> bool:
        works, refused = works_of(batch)
        if works:
            self._before_start([run for _, runs in works for run in runs])
        answers = hand_over(self.launcher, [work for work, _ in works]) if works else []
        accepted: list[Run] = []
        for (_, runs), answer in zip(works, answers, strict=True):
            ids = answer.members or ((answer.id,) if answer.id is not None else ())
            if len(ids) != len(runs):
                refused += [(run, answer.error) for run in runs]
                continue
            if answer.error:
                log.warning("%s: %s", runs[0].name, answer.error)
            for run, job in zip(runs, ids, strict=True):
                self._follow(run, job)
                run.status = Status(State.QUEUED if job in self._inquiry else State.RUNNING)
            accepted += runs
        self._inquiry.hurry()
        try:
            self._on_start(accepted)
        except Exception:  # a listener's fault must not lose the runs that did start
            log.exception("a listener for starts failed")
        for run, error in refused:
            self._waiting.freed(run)
            self._end(run, _not_started(error))
        return bool(refused)

    def _heard(self, job: JobId, status: Status) -> None:
        run = self._active.get(job)
        if run is None:
            return
        self._inquiry.known(job, status)
        if not status.is_terminal:
            if not run.held:
                run.status = status
            return
        del self._active[job]
        self._waiting.freed(run)
        if run.held:
            run.held = False
        else:
            self._end(run, status)

    def _forestall(self, run: Run, news: Callable[[], Status | None]) -> None:
        if not run.active or run.stopping or run.job not in self._active:
            return
        status = news()
        if status is not None:
            run.held = True  # its place is free when the launcher says so
            self._end(run, status)
        self._inquiry.hurry()

    def _end(self, run: Run, status: Status) -> None:
        run.successor = self._succession(run, status)
        if run.why and status.cause is Cause.STOPPED:
            status = replace(status, reason=run.why)
        run.status, run.ended = status, time.monotonic()
        try:
            self._on_end(run)
        except Exception:  # a listener's fault must not keep waiters waiting
            log.exception("a listener for the end of %s failed", run.name)
        waiters, run.waiters = run.waiters, []
        if run.successor is not None:
            run.successor.waiters += waiters
            run.successor.submitted = time.monotonic()
            self._waiting.add([run.successor])
            return
        for wake in waiters:
            wake()

    def _succession(self, run: Run, status: Status) -> Run | None:
        try:
            return self._again(run, status)
        except Exception:  # the end itself must be told all the same
            log.exception("%s cannot be run again", run.name)
            return None

    def _attach(self, runs: Sequence[Run]) -> None:
        ids = []
        for run in runs:
            if run.job is not None:
                ids.append(run.job)
                self._follow(run, run.job)
                self._waiting.adopt(run)
                if run.status.state is State.NEW:
                    run.status = Status(State.UNKNOWN)
        launcher = self.launcher
        ask = launcher.attach if isinstance(launcher, Attaches) else launcher.status
        try:
            answers = ask(ids)
        except LauncherError as error:
            if not all(job in self._inquiry for job in ids):
                raise
            self._inquiry.silence.failed(error)  # it will be asked again
            return
        for job in ids:
            self._attached(job, answers.get(job, ABSENT))

    def _attached(self, job: JobId, answer: Answer) -> None:
        if not isinstance(answer, Absent):
            self._heard(job, answer)
        elif job in self._inquiry:  # it may be known later: accounting lags
            self._inquiry.missing(job)
        else:
            reason = "ended while nobody watched, and left no record"
            self._heard(job, Status(State.LOST, None, Cause.UNSEEN, reason, Source.LAUNCHER))

    def _cancel(self, runs: Sequence[Run], started: bool) -> None:
        try:
            self._stop([run for run in runs if started or run.latest.job is None])
        except Exception as error:  # noqa: BLE001 -- nobody waits: told, whatever a launcher raises
            log.error("stop failed: %s", error or type(error).__name__)

    def _stop(self, runs: Sequence[Run]) -> None:
        runs = [run.latest for run in runs]
        try:
            for run in runs:
                if run.active and run.job is None:
                    # It waits, or a Ctrl-C came before it was handed over.
                    if run in self._waiting:
                        self._waiting.remove(run)
                    self._end(run, Status(State.CANCELLED, cause=Cause.STOPPED))
            ids = [run.job for run in runs if run.job is not None and run.job in self._active]
            for run in runs:
                run.stopping = run.active
            if ids:
                self.launcher.stop(ids)
        finally:
            self._inquiry.hurry()


def _not_started(error: str) -> Status:
    return Status(State.FAILED, None, Cause.START_FAILURE, error or "the launcher gave no reason")


def _still_going(runs: Sequence[Run], timeout: timedelta | None) -> str:
    latest = [run.latest for run in runs]
    names = [f"{run.name} ({run.status.state.value})" for run in latest if run.active]
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    seconds = timeout.total_seconds() if timeout else 0
    return f"after {seconds:g} s not ended: {', '.join(names[:5])}{more}"

"""Kills at random moments, and then what attach says against what the children wrote themselves.

A seed decides what is started, stopped and killed, and roughly when; the operating system has a say
in the rest. ``SMARTCORE_CHAOS_SEED`` repeats one round, ``SMARTCORE_CHAOS_ROUNDS`` asks for more
rounds of fresh seeds.
"""

from __future__ import annotations

import os
import random
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

from smartcore import Experiment
from smartcore.error import PathNotFoundError
from smartcore.spec import Cause, State, Status

if TYPE_CHECKING:
    from tests.chaos.conftest import Child, Driver, World

# Cheap enough for every run of the tests; each has once found something, or kills much.
FIXED = (1, 2, 3, 4, 5, 6)
ENDS = (0, 0, 1, 3, 77, 255, -9, -15, -6)
GATED = ("gated", "graceful", "stubborn", "forking")
VICTIMS = ("driver", "keeper", "child", "shard")
PATIENCE = 60.0


def seeds() -> list[int]:
    """Those asked for; without, the fixed ones and a fresh one."""
    if given := os.environ.get("SMARTCORE_CHAOS_SEED"):
        return [int(given)]
    if rounds := os.environ.get("SMARTCORE_CHAOS_ROUNDS"):
        return [random.randrange(10**9) for _ in range(int(rounds))]
    return [*FIXED, random.randrange(10**9)]


@dataclass
class Deeds:
    """What was done to a world, as far as it explains a state.

    :param killed_keepers: how often
    :param hit: jobs that were sent SIGKILL
    :param stopped: names that somebody asked to stop, or may have
    :param told: terminal states that a driver told of: they never change
    """

    killed_keepers: int = 0
    hit: set[str] = field(default_factory=set)
    stopped: set[str] = field(default_factory=set)
    told: dict[str, tuple[str, int | None]] = field(default_factory=dict)


class Round:
    """One round in one world."""

    def __init__(self, world: World, seed: int) -> None:
        self.world = world
        self.rng = random.Random(seed)
        self.deeds = Deeds()
        self.names: list[str] = []
        self.databases: list[str] = []
        self.parents: set[str] = set()

    # -- orders ---------------------------------------------------------------------------------

    def arguments(self, name: str) -> list[str]:
        """Of a child; what waits is let go at the end of the round."""
        kind = self.rng.choice(("quick", "timed", *GATED))
        if kind in GATED:
            self.world.make_gate(name)
        if kind == "forking":
            self.parents.add(name)
        end, seconds = self.rng.choice(ENDS), f"{self.rng.uniform(0, 0.3):.3f}"
        return [kind, str(end), seconds]

    def start_order(self) -> dict[str, object]:
        number = len(self.names)
        models = []
        for index in range(self.rng.choice((1, 2, 5, 40))):
            name = f"m{number + index}"
            self.names.append(name)
            models.append((name, self.arguments(name)))
        order: dict[str, object] = {"do": "start", "models": models}
        if self.rng.random() < 0.3:
            size = self.rng.randint(1, 6)
            self.names += [f"e{number}_{index}" for index in range(size)]
            order["ensemble"] = (f"e{number}", size, ["timed", str(self.rng.choice(ENDS)), "0.1"])
        if self.rng.random() < 0.2:
            self.databases.append(f"db{number}")
            order["database"] = (self.databases[-1], self.rng.choice((1, 1, 3)))
        return order | {"truth": str(self.world.truth)}

    def stop_order(self) -> dict[str, object]:
        names = self.rng.sample(self.names, self.rng.randint(1, min(5, len(self.names))))
        return {"do": "stop", "names": names}

    def order(self) -> dict[str, object]:
        if self.names and self.rng.random() < 0.3:
            return self.stop_order()
        return self.start_order()

    # -- the round ------------------------------------------------------------------------------

    def play(self) -> None:
        """Drivers come, give orders and go, until the last has gone."""
        for life in range(self.rng.choice((1, 1, 2))):
            if life and not self.world.children():
                return  # it may have been killed before there was anything to attach to
            driver = self.world.driver("attach" if life else "new")
            for _ in range(self.rng.randint(1, 4)):
                self.obeyed(driver)
                if driver.process.poll() is not None:
                    break
            if driver.process.poll() is None and self.rng.random() < 0.3:
                self.note(driver.ask({"do": "statuses"}))
                assert driver.end() == 0, driver.said
            driver.kill()

    def obeyed(self, driver: Driver) -> None:
        order = self.order()
        if order["do"] == "stop":
            # Before: nobody knows what a killed driver still got done.
            names = order["names"]
            assert isinstance(names, list)
            self.deeds.stopped |= {name for name in names if self.deeds.told.get(name) is None}
        if "database" in order:
            name, shards = self.databases[-1], 3
            self.deeds.stopped |= {f"{name}_{index}" for index in range(shards)}
        driver.send(order)
        if self.rng.random() < 0.5:
            time.sleep(self.rng.choice((0, self.rng.uniform(0, 0.01), self.rng.uniform(0, 0.2))))
            victims = self.rng.sample(VICTIMS, self.rng.choice((1, 1, 2)))
            print(f"{order['do']}, and kill {victims}")
            for victim in victims:
                self.kill(victim, driver)
        if driver.process.poll() is None:
            self.note(driver.answer())

    def kill(self, victim: str, driver: Driver) -> None:
        if victim == "driver":
            driver.kill()
        elif victim == "keeper":
            for pid in self.world.keepers():
                self.deeds.killed_keepers += self.world.kill(pid)
        elif victim == "shard":
            for pid in self.world.shards()[:1]:
                self.world.kill(pid)
        else:
            # What has children of its own would leave them: that is no promise of ours.
            known = [child for child in self.world.children() if child.name not in self.parents]
            living = [child for child in known if child.alive]
            for child in self.rng.sample(living, min(2, len(living))):
                if self.world.kill(child.pid):
                    self.deeds.hit.add(child.job)

    def note(self, answer: dict[str, object]) -> None:
        if "error" in answer:
            print(answer["error"])
        statuses = answer.get("statuses", {})
        assert isinstance(statuses, dict)
        for name, (state, code, _) in statuses.items():
            if State[state] not in {State.RUNNING, State.QUEUED, State.UNKNOWN}:
                self.agree(name, state, code)

    def agree(self, name: str, state: str, code: int | None) -> None:
        told = self.deeds.told.setdefault(name, (state, code))
        assert told == (state, code), f"{name} was told to be {told}, and is now {(state, code)}"


# -- the judge ----------------------------------------------------------------------------------


def objection(status: Status, child: Child | None, deeds: Deeds, name: str) -> str:
    """Why a state is not what the truth allows; nothing if it is."""
    if child is None:
        fine, words = _fits_nothing(status, name in deeds.stopped)
    elif not status.is_terminal or child.alive:
        fine, words = not status.is_terminal and child.alive, "it lives, or not"
    elif status.state in {State.COMPLETED, State.FAILED}:
        ends = {child.end} | ({-9} if child.job in deeds.hit else set())
        fits = (status.returncode == 0) is (status.state is State.COMPLETED)
        fine, words = status.returncode in ends - {None} and fits, "that is not its end"
    elif status.state is State.CANCELLED:
        ends = {None, child.end, -9, -15}
        fine, words = name in deeds.stopped and status.returncode in ends, "nobody stopped it"
    elif status.state is State.LOST:
        # The second: not even a note of a killed keeper has its id.
        fine = "keeper" in status.reason or "left no record" in status.reason
        fine, words = fine and deeds.killed_keepers > 0, "no keeper was killed"
    else:
        fine, words = False, "it cannot be in that state"
    return "" if fine else words


def _fits_nothing(status: Status, stopped: bool) -> tuple[bool, str]:
    # It has written nothing: it was never started, or ended before it could.
    if status.state is State.FAILED and status.returncode is None:
        return status.cause is Cause.START_FAILURE, "that says not why"
    stopped = stopped or status.reason == "its driver ended before it was started"
    fine = status.state is State.LOST or (status.state is State.CANCELLED and stopped)
    return fine, "it never began"


def jobs_of(exp: Experiment) -> dict[str, str]:
    """The job of each name, as the summary shows it."""
    rows = [line.split("\t") for line in exp.summary("tsv").splitlines()[1:]]
    return {row[1].strip(): row[3].strip() for row in rows}


def check(exp: Experiment, played: Round) -> None:
    """Nothing invented, nothing lost, all known."""
    world = played.world
    living = world.jobs()
    statuses, children = settled(exp, world)
    unknown = living - set(jobs_of(exp).values())
    assert not unknown & world.jobs(), f"not known: {unknown}"
    assert len(children) == len(world.children()), "something was started twice"
    assert children.keys() <= statuses.keys(), "something was forgotten"
    wrong = []
    for name in statuses.keys() & set(played.names):
        child = children.get(name)
        if words := objection(statuses[name], child, played.deeds, name):
            wrong.append(f"{name}: {words}: {statuses[name]}; {child}")
    assert not wrong, "\n".join(wrong)
    for name, status in statuses.items():
        if status.is_terminal:
            played.agree(name, status.state.name, status.returncode)


def settled(exp: Experiment, world: World) -> tuple[dict[str, Status], dict[str, Child]]:
    """States, and the truth of the same moment: ends that are just being told of are waited for."""
    while True:
        statuses = exp.statuses()
        children = {child.name: child for child in world.children()}
        late = [
            name
            for name, child in children.items()
            if name in statuses and not (statuses[name].is_terminal or child.alive)
        ]
        if not late:
            return statuses, children
        for name in late:
            exp.wait(name, timeout=PATIENCE)


@pytest.mark.parametrize("seed", seeds(), ids=lambda seed: f"seed={seed}")
def test_after_any_kills_attach_says_what_the_children_say(world: World, seed: int) -> None:
    print(f"again: SMARTCORE_CHAOS_SEED={seed}")
    played = Round(world, seed)
    played.play()
    if played.rng.random() < 0.3 and world.children():
        played.deeds.stopped |= set(played.names)
        world.gc()
        world.wait_quiet()
    try:
        exp = Experiment.attach(str(world.path))
    except PathNotFoundError:
        assert not world.children()
        return
    with exp:
        check(exp, played)
        finish(exp, played)
        check(exp, played)
    check(exp, played)
    assert_nothing_is_left(played)


def finish(exp: Experiment, played: Round) -> None:
    """Half of what waits is let go, the rest is going to be stopped."""
    world, rng = played.world, played.rng
    waiting = [name for name in world.gates if name in exp.statuses()]
    let_go = [name for name in waiting if rng.random() < 0.5]
    for name in let_go:
        world.open_gate(name, rng.choice(ENDS))
    kept = {name for name in waiting if name not in let_go}
    for name in played.names:
        if name in exp.statuses() and name not in kept:
            exp.wait(name, timeout=PATIENCE)
    check(exp, played)
    played.deeds.stopped |= {name for name, one in exp.statuses().items() if not one.is_terminal}


def assert_nothing_is_left(played: Round) -> None:
    world = played.world
    world.wait_quiet()
    for pid in world.keepers():  # it ends by itself, soon
        world.wait_gone(pid)
    for file in (world.path / ".smartcore" / "keeper").glob("*.err"):
        assert file.read_text() == ""
    for driver in world.drivers:
        assert "Traceback" not in driver.said, driver.said

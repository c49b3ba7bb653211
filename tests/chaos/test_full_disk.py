"""A disk that is full for a while: what is said meanwhile is true, and afterwards all goes on."""

from __future__ import annotations

import os
import resource
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from smartcore import Experiment
from smartcore.error import SmartcoreError
from smartcore.spec import Cause, State

if TYPE_CHECKING:
    from tests.chaos.conftest import Driver, MakeWorld, World

PATIENCE = 60.0


class Disk:
    """The disk of an experiment, of which the room can be taken and given back."""

    def __init__(self, world: World, ballast: Path | None) -> None:
        self.world = world
        self._ballast = ballast

    def fill(self) -> None:
        """Take the last byte."""
        if self._ballast is None:
            self._limit(1)
            return
        with self._ballast.open("wb", buffering=0) as file:
            try:
                while file.write(b"x" * 512):
                    pass
            except OSError:
                return

    def free(self) -> None:
        """Give it back."""
        if self._ballast is None:
            self._limit(resource.RLIM_INFINITY)
        else:
            self._ballast.unlink()

    def _limit(self, size: int) -> None:
        # Without a disk of our own: no file of these processes grows beyond that.
        living = [one.process.pid for one in self.world.drivers if one.process.poll() is None]
        for pid in [*living, *self.world.keepers()]:
            resource.prlimit(pid, resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))


@pytest.fixture(params=["tmpfs", "limit"])
def disk(request: pytest.FixtureRequest, tmp_path: Path, make_world: MakeWorld) -> Iterator[Disk]:
    path = tmp_path / "small"
    path.mkdir()
    if request.param == "limit":
        yield Disk(make_world(path), None)
        return
    if os.geteuid() != 0 or mount(path).returncode != 0:
        pytest.skip("only root mounts a small disk")
    try:
        (path / "exp").mkdir()
        yield Disk(make_world(path / "exp"), path / "ballast")
    finally:
        # Lazily: whatever still has a file open there must not keep the mount.
        subprocess.run(["umount", "--lazy", str(path)], timeout=PATIENCE, check=True)


def mount(path: Path) -> subprocess.CompletedProcess[bytes]:
    command = ["mount", "-t", "tmpfs", "-o", "size=256k", "none", str(path)]
    return subprocess.run(command, capture_output=True, timeout=PATIENCE, check=False)


def ended_unwritten(disk: Disk, driver: Driver) -> list[str]:
    """Names of children that ended with 3 when there was no room for more than some to be told."""
    world = disk.world
    # More than fits into what is left of a page.
    names = [f"bad{number}" for number in range(60)]
    orders = [(name, "gated", 3) for name in names]
    assert "statuses" in driver.ask(world.start_order(*orders[:30], ("long", "gated", 0)))
    assert "statuses" in driver.ask(world.start_order(*orders[30:]))
    disk.fill()
    for name in names:
        world.open_gate(name, 3)
    told = driver.ask({"do": "wait", "names": names})["statuses"]
    assert isinstance(told, dict)
    assert {name: status[:2] for name, status in told.items()} == {
        "long": ["RUNNING", None],
        **{name: ["FAILED", 3] for name in names},
    }
    return names


def test_while_the_disk_is_full_states_are_true_and_nothing_new_begins(disk: Disk) -> None:
    world = disk.world
    driver = world.driver("new", max_running=100)
    bad = ended_unwritten(disk, driver)
    (keeper,) = world.keepers()
    refused = driver.ask(world.start_order(("new", "quick", 0)))
    assert "nothing was launched: cannot write the journal" in str(refused["error"])
    assert world.keepers() == [keeper]
    disk.free()
    assert "statuses" in driver.ask(world.start_order(("newer", "quick", 0)))
    told = driver.ask({"do": "wait", "names": ["newer"]})["statuses"]
    assert isinstance(told, dict)
    assert told["newer"][:2] == ["COMPLETED", 0]
    assert {child.name for child in world.children()} == {*bad, "long", "newer"}
    driver.kill()
    assert "Traceback" not in driver.said
    with Experiment.attach(str(world.path)) as exp:
        assert {exp.status(name).returncode for name in bad} == {3}
        assert exp.status("long").state is State.RUNNING
        assert "new" not in exp.statuses()


def test_a_driver_that_is_killed_while_the_disk_is_full_takes_no_exit_code_with_it(
    disk: Disk,
) -> None:
    world = disk.world
    driver = world.driver("new", max_running=100)
    bad = ended_unwritten(disk, driver)
    driver.kill()
    with Experiment.attach(str(world.path)) as exp:
        assert {exp.status(name).returncode for name in bad} == {3}
        assert exp.status("long").state is State.RUNNING
        exp.stop("long")
        assert exp.status("long").state is State.CANCELLED
        disk.free()
        model = exp.create_model("new", exp.create_run_settings("true"))
        exp.start(model)
        assert exp.status("new").state is State.COMPLETED
    again = Experiment.attach(str(world.path))
    assert {again.status(name).returncode for name in bad} == {3}
    assert again.status("long").state is State.CANCELLED


def test_what_could_not_be_written_is_lost_when_its_keeper_is_killed(disk: Disk) -> None:
    world = disk.world
    driver = world.driver("new", max_running=100)
    bad = ended_unwritten(disk, driver)
    (keeper,) = world.keepers()
    driver.kill()
    world.kill(keeper)
    exp = Experiment.attach(str(world.path))
    lost = [status for name in bad if (status := exp.status(name)).state is State.LOST]
    assert lost
    for status in lost:
        assert (status.returncode, status.cause) == (None, Cause.UNSEEN)
        assert f"keeper {keeper} was killed" in status.reason
    # Of the others something was written before the room was gone.
    others = [status for name in bad if (status := exp.status(name)).state is not State.LOST]
    assert {status.returncode for status in others} <= {3}


@pytest.mark.parametrize("disk", ["tmpfs"], indirect=True)
def test_an_experiment_on_a_full_disk_says_so(disk: Disk) -> None:
    exp = Experiment("exp", str(disk.world.path))
    model = exp.create_model("m", exp.create_run_settings("true"))
    disk.fill()
    with pytest.raises(SmartcoreError, match="No space left on device"):
        exp.start(model)
    disk.free()
    exp.start(model)
    assert exp.status("m").state is State.COMPLETED

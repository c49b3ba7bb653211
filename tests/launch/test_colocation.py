from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from smartcore.database import read_secret
from smartcore.entity import ColocationSettings
from smartcore.error import InputError
from smartcore.launch import colocation
from smartcore.launch.process import write_files
from smartcore.registry import Registry
from smartcore.spec import Command, Step, Tag
from smartcore_redis.backend import RedisBackend

# What a model does: set and get a key with what its environment tells.
CLIENT = """
import json, os, redis, sys
suffix = sys.argv[1]
auth = json.load(open(os.environ["SMARTCORE_DB_AUTH" + suffix]))
address = os.environ["SSDB" + suffix]
if address.startswith("unix://"):
    client = redis.Redis(unix_socket_path=address.removeprefix("unix://"), **auth)
else:
    host, port = address.split(":")
    client = redis.Redis(host=host, port=int(port), **auth)
client.set("key", "value")
print(client.get("key").decode(), client.config_get("maxmemory")["maxmemory"],
      os.environ["SR_DB_TYPE" + suffix], os.getppid())
if "wait" in sys.argv:
    sys.stdin.read()
"""
TIMEOUT = 60
STRATEGIES: dict[str, dict[str, object]] = {
    "tcp": {"port": None, "ifname": "lo"},
    "uds": {"unix_socket": None, "socket_permissions": 700},
}


@pytest.fixture
def registry() -> Registry:
    return Registry()


@pytest.fixture
def runtime(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    place = Path(f"/tmp/sc-colocation-{os.getpid()}")
    place.mkdir(mode=0o700)
    yield place
    left = list(place.iterdir())
    for path in left:
        path.unlink()
    place.rmdir()
    assert not left, "a socket was left"


def model(path: Path, *argv: str, name: str = "model") -> Step:
    directory = path / name
    directory.mkdir(exist_ok=True)
    command = Command((sys.executable, "-c", CLIENT, *argv), {"MINE": "x"})
    out, err = directory / f"{name}.out", directory / f"{name}.err"
    return Step(name, Tag(f"{name}-1"), command, directory, out, err)


def colocate(
    step: Step, settings: ColocationSettings, registry: Registry, experiment: Path, runtime: Path
) -> Step:
    beside = colocation.colocate(step, settings, registry, experiment, runtime)
    return replace(step, command=beside.around(step.command))


def run(step: Step) -> subprocess.CompletedProcess[str]:
    write_files(step.command)
    return subprocess.run(
        step.command.argv,
        cwd=step.cwd,
        env={**os.environ, **step.command.env},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
        check=False,
    )


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("identifier", ["", "mine"])
def test_a_model_finds_its_own_database_serving(
    tmp_path: Path, runtime: Path, registry: Registry, strategy: str, identifier: str
) -> None:
    settings = ColocationSettings(
        strategy,
        STRATEGIES[strategy],
        db_identifier=identifier,
        server_options={"maxmemory": "100mb"},
        pinning=(0,),
    )
    step = model(tmp_path, f"_{identifier}" if identifier else "")
    both = colocate(step, settings, registry, tmp_path, runtime)
    done = run(both)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split()[:3] == ["value", str(100 * 2**20), "Standalone"]
    assert both.command.env["MINE"] == "x"
    assert "ready to exit" in (step.cwd / "model-db.log").read_text()


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_planning_writes_nothing_and_puts_no_secret_on_the_command_line(
    tmp_path: Path, runtime: Path, registry: Registry, strategy: str
) -> None:
    settings = ColocationSettings(strategy, STRATEGIES[strategy])
    step = model(tmp_path)
    both = colocate(step, settings, registry, tmp_path, runtime)
    assert both.command.argv[-len(step.command.argv) :] == step.command.argv
    assert list(step.cwd.iterdir()) == []
    assert not (tmp_path / ".smartcore").exists()
    assert {file.mode for file in both.command.files} == {0o600}
    spec = both.command.files[-1]
    assert spec.path == tmp_path / ".smartcore/scripts/model-1.json"
    write_files(both.command)
    _, password = read_secret(both.command.env["SMARTCORE_DB_AUTH"])
    shown = [*both.command.argv, *both.command.env.values(), repr(both)]
    assert not [text for text in shown if password in text]
    admin = json.loads(spec.text)["sidecars"][0]["ready"]["send"].split("\r\n")[6]
    assert len(admin) >= 32
    assert not [text for text in shown if admin in text]


def test_two_models_at_once_have_databases_of_their_own(
    tmp_path: Path, runtime: Path, registry: Registry
) -> None:
    steps = [
        colocate(
            model(tmp_path, "", "wait", name=f"{strategy}{number}"),
            ColocationSettings(strategy, options),
            registry,
            tmp_path,
            runtime,
        )
        for strategy, options in STRATEGIES.items()
        for number in range(2)
    ]
    assert len({step.command.env["SSDB"] for step in steps}) == 4
    running = []
    for step in steps:
        write_files(step.command)
        running.append(
            subprocess.Popen(
                step.command.argv,
                cwd=step.cwd,
                env={**os.environ, **step.command.env},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
        )
    answers = [process.stdout.readline() for process in running if process.stdout]
    ended = [process.communicate("", TIMEOUT) and process.returncode for process in running]
    assert ended == [0] * 4
    assert [answer.split()[0] for answer in answers] == ["value"] * 4


@pytest.mark.parametrize("option", [("nonsense", "1"), ("maxclients", "many")])
def test_a_setting_that_the_server_does_not_take_is_refused_by_name(
    tmp_path: Path, runtime: Path, registry: Registry, option: tuple[str, str]
) -> None:
    settings = ColocationSettings("uds", STRATEGIES["uds"], server_options=dict([option]))
    with pytest.raises(InputError, match=option[0]):
        colocate(model(tmp_path, ""), settings, registry, tmp_path, runtime)


def test_threads_are_those_of_the_server(tmp_path: Path, runtime: Path, registry: Registry) -> None:
    settings = ColocationSettings("uds", STRATEGIES["uds"], server_options={"threads": "2"})
    beside = colocate(model(tmp_path, ""), settings, registry, tmp_path, runtime)
    assert [file for file in beside.command.files if '\nio-threads "2"\n' in file.text]


def test_a_server_that_does_not_come_to_serve_fails_the_model_before_it_starts(
    tmp_path: Path, runtime: Path, registry: Registry
) -> None:
    options = {"loadmodule": __file__}  # no module
    settings = ColocationSettings("uds", STRATEGIES["uds"], server_options=options)
    done = run(colocate(model(tmp_path, ""), settings, registry, tmp_path, runtime))
    assert done.returncode == 125
    assert f"Can't load module from {__file__}" in done.stderr
    assert done.stdout == ""


def stubborn(path: Path, *options: str) -> Path:
    """A server that has its own opinion on these options."""
    server = RedisBackend().find(os.environ).executable
    path.write_text(
        f'#!/bin/sh\n[ "$1" = --version ] && exec {server} --version\n'
        f'exec {server} "$@" {" ".join(options)}\n'
    )
    path.chmod(0o755)
    return path


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_server_that_takes_a_setting_otherwise_fails_the_model_before_it_starts(
    tmp_path: Path,
    runtime: Path,
    registry: Registry,
    monkeypatch: pytest.MonkeyPatch,
    strategy: str,
) -> None:
    monkeypatch.setenv("REDIS_PATH", str(stubborn(tmp_path / "server", "--hz", "12")))
    options = {"maxclients": "77", "hz": "33"}
    settings = ColocationSettings(strategy, STRATEGIES[strategy], server_options=options)
    done = run(colocate(model(tmp_path, ""), settings, registry, tmp_path, runtime))
    assert (done.returncode, done.stdout) == (125, "")
    assert "model-db was started with hz='33' and says it is '12'" in done.stderr
    assert "model-db.log ends with:" in done.stderr


def test_a_setting_that_cannot_be_read_back_is_told_of_and_does_no_harm(
    tmp_path: Path, runtime: Path, registry: Registry
) -> None:
    # Read by all versions, and without an effect since 7.
    options = {"list-max-ziplist-entries": "3", "maxclients": "77"}
    settings = ColocationSettings("uds", STRATEGIES["uds"], server_options=options)
    done = run(colocate(model(tmp_path, ""), settings, registry, tmp_path, runtime))
    assert done.returncode == 0, done.stderr
    assert "list-max-ziplist-entries was not verified" in done.stderr
    assert "maxclients" not in done.stderr


def test_a_database_may_be_opened_for_one_model(
    tmp_path: Path, runtime: Path, registry: Registry, caplog: pytest.LogCaptureFixture
) -> None:
    code = "import os, redis; print(redis.Redis(port=int(os.environ['SSDB'].split(':')[1])).ping())"
    step = model(tmp_path)
    step = replace(step, command=Command((sys.executable, "-c", code)))
    settings = ColocationSettings(
        "tcp", STRATEGIES["tcp"], server_options={"allow-unauthenticated": "yes"}
    )
    done = run(colocate(step, settings, registry, tmp_path, runtime))
    assert done.stdout == "True\n", done.stderr
    assert "no password" in caplog.text


def test_options_that_cannot_work_are_refused(
    tmp_path: Path, runtime: Path, registry: Registry
) -> None:
    settings = ColocationSettings("tcp", {"port": 70000})
    with pytest.raises(InputError, match="port"):
        colocate(model(tmp_path), settings, registry, tmp_path, runtime)

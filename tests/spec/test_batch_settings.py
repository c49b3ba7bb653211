from __future__ import annotations

import copy
from typing import Any

import pytest

from smartcore.error import InputError, InputTypeError
from smartcore.spec import BatchSettings, Resources, parse_walltime


class Submit(BatchSettings):
    def set_nodes(self, num_nodes: int) -> None:
        self.batch_args["nodes"] = str(num_nodes)

    def set_hostlist(self, host_list: str | list[str]) -> None:
        raise NotImplementedError

    def set_queue(self, queue: str) -> None:
        self.batch_args["queue"] = queue

    def set_walltime(self, walltime: str) -> None:
        parse_walltime(walltime)
        self.batch_args["time"] = walltime

    def set_account(self, account: str) -> None:
        self.batch_args["account"] = account

    def format_batch_args(self) -> list[str]:
        return [f"--{name}={value}" for name, value in self.batch_args.items()]


def test_keywords_are_applied_by_the_setters() -> None:
    made = Submit("submit", {"x": "1"}, nodes=2, time="01:00:00", queue="q", account="a")
    assert made.format_batch_args() == [
        *("--x=1", "--nodes=2", "--time=01:00:00", "--queue=q", "--account=a")
    ]
    assert made.job_resources() == Resources()


def test_what_is_empty_is_not_set() -> None:
    assert Submit("submit", nodes=None, time="", queue=None, account="").batch_args == {}


@pytest.mark.parametrize("wrong", [{"nodes": -1}, {"nodes": True}, {"time": "soon"}, {"queue": 1}])
def test_nonsense_is_refused_at_once(wrong: dict[str, Any]) -> None:
    with pytest.raises((InputError, InputTypeError)):
        Submit("submit", **wrong)


def test_an_unknown_keyword_is_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    Submit("submit", color="red")
    assert "Submit has no setting 'color'" in caplog.text


def test_the_submit_command_is_expanded_if_this_host_has_it() -> None:
    made = Submit("no-such-submit")
    assert made.batch_cmd == "no-such-submit"
    made.set_batch_command("sh")
    assert made.batch_cmd.startswith("/")
    with pytest.raises(InputError, match="batch command is empty"):
        made.set_batch_command("")


def test_preamble_lines_are_kept_in_order() -> None:
    made = Submit("submit")
    made.add_preamble("module load x")
    made.add_preamble(["a", "b"])
    assert list(made.preamble) == ["module load x", "a", "b"]
    assert list(copy.deepcopy(made).preamble) == ["module load x", "a", "b"]
    with pytest.raises(InputTypeError):
        made.add_preamble([1])  # type: ignore[list-item]


def test_the_batch_arguments_are_copied() -> None:
    given: dict[str, str | None] = {"x": "1"}
    made = Submit("submit", given)
    given["x"] = "2"
    assert made.batch_args == {"x": "1"}
    assert "--x=1" in str(made)

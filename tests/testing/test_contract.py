"""The rules of contracts: cases name their failures, and a subclass cannot replace them."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import ClassVar

import pytest

from smartcore import testing
from smartcore.error import InputError
from smartcore.testing import Contract, LauncherContract, SchedulerContract, case
from smartcore.testing.failures import FAILURES

PAGE = Path(__file__).parents[2] / "docs" / "conformance.md"


def cases(contract: type) -> dict[str, object]:
    names = [name for name in dir(contract) if name.startswith("test_")]
    return {name: getattr(contract, name) for name in names}


@pytest.mark.parametrize(
    "contract", [getattr(testing, name) for name in testing.__all__ if name.endswith("Contract")]
)
def test_every_case_names_classes_of_failure_that_there_are(contract: type) -> None:
    for name, test in cases(contract).items():
        found = getattr(test, "failure_classes", ())
        assert found, name
        assert set(found) <= set(FAILURES), name


def test_launchers_have_at_least_sixty_cases() -> None:
    assert len(cases(LauncherContract)) >= 60


def test_what_one_contract_cannot_see_the_other_looks_for() -> None:
    seen = {
        failure
        for contract in (LauncherContract, SchedulerContract)
        for test in cases(contract).values()
        for failure in getattr(test, "failure_classes", ())
    }
    first_of_all = ["F01", "F02", "F03", "F04", "F05", "F08", "F11", "F13", "F15", "F16", "F19"]
    assert {*first_of_all, "F21", "F25", "F26"} <= seen


def test_a_subclass_cannot_replace_a_case() -> None:
    with pytest.raises(InputError, match="replaces test_stopping_nothing_is_no_error"):

        class Cheat(LauncherContract):
            def test_stopping_nothing_is_no_error(self) -> None:  # type: ignore[override]
                pass


def test_a_case_cannot_be_replaced_from_the_side_either() -> None:
    class Side:
        def test_stopping_nothing_is_no_error(self) -> None:
            pass

    with pytest.raises(InputError, match="replaces test_stopping_nothing_is_no_error"):

        class Cheat(Side, LauncherContract):  # type: ignore[misc]
            pass


def test_a_subclass_cannot_decide_by_itself_what_is_expected_to_fail() -> None:
    with pytest.raises(InputError, match="replaces _expect_failure"):

        class Cheat(LauncherContract):
            def _expect_failure(self) -> None:  # type: ignore[override]
                pass


@pytest.mark.parametrize(
    ("failures", "words"),
    [
        ({"test_of_nothing": "why"}, "no such test"),
        ({"test_starting_nothing_is_no_error": " "}, ""),
    ],
)
def test_an_expected_failure_is_of_a_case_and_has_a_reason(
    failures: dict[str, str], words: str
) -> None:
    with pytest.raises(InputError, match=words or "gives no reason"):

        class Wrong(LauncherContract):
            expected_failures: ClassVar[dict[str, str]] = failures


def test_a_failure_tells_its_class() -> None:
    @case("F23")
    def fail() -> None:
        raise AssertionError

    with pytest.raises(AssertionError) as caught:
        fail()
    assert caught.value.__notes__ == [f"F23: {FAILURES['F23']}"]


SOURCE = """
from smartcore.testing import DatabaseContract
class TestIt(DatabaseContract):
    backend_class = "smartcore_redis.backend:RedisBackend"
    expected_failures = {"test_every_common_setting_has_a_directive[save]": "it is said to"}
"""


def test_an_expected_failure_that_passes_is_a_failure(tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text(SOURCE)
    argv = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", "directive"]
    done = subprocess.run(
        argv, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
    )
    assert re.search(r"1 failed, [1-9]\d* passed", done.stdout), done.stdout
    assert "XPASS(strict)" in done.stdout


def test_the_contract_itself_has_no_cases() -> None:
    assert not cases(Contract)


def test_the_page_tells_every_class_of_failure() -> None:
    page = PAGE.read_text()
    for name, text in FAILURES.items():
        assert f"| {name} | {text} |" in page


def test_fake_programs_start_without_pytest() -> None:
    code = "import smartcore.testing, sys; print('pytest' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"

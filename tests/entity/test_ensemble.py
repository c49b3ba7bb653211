from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smartcore.entity import Ensemble, Model
from smartcore.error import (
    EntityExistsError,
    InputError,
    InputTypeError,
    UnsupportedError,
    UserStrategyError,
)
from smartcore.spec.settings import BatchSettings, RunSettings


class Batch(BatchSettings):
    """The least that batch settings must have."""

    def set_nodes(self, num_nodes: int) -> None: ...
    def set_hostlist(self, host_list: str | list[str]) -> None: ...
    def set_queue(self, queue: str) -> None: ...
    def set_walltime(self, walltime: str) -> None: ...
    def set_account(self, account: str) -> None: ...
    def format_batch_args(self) -> list[str]:
        return []


@pytest.fixture
def run() -> RunSettings:
    return RunSettings("true")


def test_members_are_numbered_and_live_in_the_directory_of_the_ensemble(run: RunSettings) -> None:
    ensemble = Ensemble("e", {"k": [1.5, 2], "n": (1, 2)}, "/exp/e", run_settings=run)
    assert [member.name for member in ensemble] == ["e_0", "e_1", "e_2", "e_3"]
    assert [member.path for member in ensemble][3] == "/exp/e/e_3"
    assert [member.params for member in ensemble] == [
        {"k": "1.5", "n": "1"},
        {"k": "1.5", "n": "2"},
        {"k": "2", "n": "1"},
        {"k": "2", "n": "2"},
    ]
    assert ensemble.query_key_prefixing()
    assert "Members: 4" in str(ensemble)


def test_members_are_found_by_name_and_by_number(run: RunSettings) -> None:
    ensemble = Ensemble("e", {}, run_settings=run, replicas=3)
    assert ensemble["e_1"] is ensemble[1] is ensemble.models[1]
    assert ensemble["e_3"] is None
    ensemble.models.clear()
    assert len(ensemble) == 3


def test_members_share_neither_settings_nor_parameters(run: RunSettings) -> None:
    first, second = Ensemble("e", {"a": 1}, run_settings=run, replicas=2)
    first.run_settings.add_exe_args("x")
    first.params["a"] = "2"
    assert second.run_settings.exe_args == run.exe_args == []
    assert second.params == {"a": "1"}


@given(st.lists(st.integers(), min_size=1, max_size=4), st.integers(1, 3))
def test_each_combination_is_replicated_next_to_itself(values: list[int], replicas: int) -> None:
    settings = RunSettings("true")
    ensemble = Ensemble("e", {"a": values}, run_settings=settings, replicas=replicas)
    expected = [str(value) for value in values for _ in range(replicas)]
    assert [member.params["a"] for member in ensemble] == expected
    assert [member.name for member in ensemble] == [f"e_{n}" for n in range(len(expected))]


def test_strategies_are_chosen_by_name_or_given(run: RunSettings) -> None:
    params = {"a": [1, 2, 3], "b": range(3)}
    assert len(Ensemble("e", params, run_settings=run, perm_strat="step")) == 3
    drawn = Ensemble("e", params, run_settings=run, perm_strat="random", n_models=4, seed=7)
    again = Ensemble("e", params, run_settings=run, perm_strat="random", n_models=4, seed=7)
    assert len(drawn) == 4
    assert [member.params for member in drawn] == [member.params for member in again]
    own = Ensemble("e", params, run_settings=run, perm_strat=lambda n, v, m: [{"a": "x"}])
    assert own[0].params == {"a": "x"}
    with pytest.raises(UserStrategyError, match="no permutation strategy 'steps'"):
        Ensemble("e", params, run_settings=run, perm_strat="steps")


def test_parameters_become_arguments_of_each_member(run: RunSettings) -> None:
    ensemble = Ensemble("e", {"n": [1, 2], "b": 0}, None, ["n"], run_settings=run)
    assert [member.run_settings.exe_args for member in ensemble] == [["-n", "1"], ["-n", "2"]]
    with pytest.raises(InputError, match="names 'c'"):
        Ensemble("e", {"n": [1]}, params_as_args=["c"], run_settings=run)


def test_an_ensemble_with_batch_settings_alone_is_empty(run: RunSettings) -> None:
    ensemble = Ensemble("e", {}, "/exp/e", batch_settings=Batch("true"))
    assert ensemble.batch
    assert len(ensemble) == 0
    assert ensemble.attached_files_table == "The ensemble is empty, no files to show."
    model = Model("mine", {}, run, "/exp/mine")
    ensemble.add_model(model)
    assert ensemble.models == [model]
    assert model.path == "/exp/e/mine"
    with pytest.raises(EntityExistsError, match="'e' has an entity named 'mine' already"):
        ensemble.add_model(Model("mine", {}, run))
    with pytest.raises(InputTypeError, match="takes models only"):
        ensemble.add_model(ensemble)  # type: ignore[arg-type]


def test_arguments_that_do_not_fit_together_are_refused(run: RunSettings) -> None:
    with pytest.raises(InputError, match="give params or replicas"):
        Ensemble("e", {}, run_settings=run)
    with pytest.raises(InputError, match="no run_settings"):
        Ensemble("e", {"a": 1})
    with pytest.raises(InputError, match="no run_settings"):
        Ensemble("e", {}, batch_settings=Batch("true"), replicas=2)
    with pytest.raises(InputError, match="is given nothing"):
        Ensemble("e", None)
    with pytest.raises(InputError, match="n_models but no params"):
        Ensemble("e", {}, run_settings=run, replicas=2, n_models=2)
    with pytest.raises(InputTypeError, match="run settings of 'e'"):
        Ensemble("e", {"a": 1}, run_settings="true")  # type: ignore[arg-type]
    with pytest.raises(InputTypeError, match="batch settings of 'e'"):
        Ensemble("e", {"a": 1}, batch_settings=run)  # type: ignore[arg-type]


def test_unknown_keywords_are_refused_by_name(run: RunSettings) -> None:
    with pytest.raises(InputError, match=r"arguments replica, x; .* replicas, n_models"):
        Ensemble("e", {"a": 1}, run_settings=run, replica=3, x=1)


@pytest.mark.parametrize("keyword", ["replicas", "n_models"])
def test_counts_are_positive_integers(run: RunSettings, keyword: str) -> None:
    make: Callable[..., Ensemble] = partial(Ensemble, "e", {"a": 1}, run_settings=run)
    for value in (True, 1.0, "2", [1]):
        with pytest.raises(InputTypeError, match=f"{keyword} of ensemble 'e'"):
            make(**{keyword: value})
    with pytest.raises(InputError, match=f"{keyword} of ensemble 'e' must be at least"):
        make(**{keyword: -1})
    with pytest.raises(InputError, match="replicas"):
        Ensemble("e", {"a": 1}, run_settings=run, replicas=0)


def test_what_is_said_of_the_ensemble_holds_for_each_member(
    run: RunSettings, capsys: pytest.CaptureFixture[str]
) -> None:
    ensemble, other = Ensemble("e", {"a": [1, 2]}, run_settings=run), Model("o", {}, run)
    ensemble.register_incoming_entity(other)
    assert all(member.incoming_entities == [other] for member in ensemble)
    assert ensemble.attached_files_table == "No file attached to this ensemble."
    ensemble.attach_generator_files(to_copy=__file__)
    ensemble.print_attached_files()
    assert "e_1" in capsys.readouterr().out
    ensemble[0].disable_key_prefixing()
    assert not ensemble.query_key_prefixing()
    ensemble.enable_key_prefixing()
    assert ensemble.query_key_prefixing()
    ensemble.disable_key_prefixing()
    assert not any(member.query_key_prefixing() for member in ensemble)


def test_moving_an_ensemble_keeps_its_members_apart(run: RunSettings) -> None:
    ensemble = Ensemble("e", {"a": [1, 2]}, run_settings=run)
    ensemble.set_path("/new")
    assert [member.path for member in ensemble] == ["/new/e_0", "/new/e_1"]


def test_machine_learning_models_reach_every_member_also_later_ones(run: RunSettings) -> None:
    ensemble = Ensemble("e", {"a": [1, 2]}, run_settings=run)
    ensemble.add_ml_model("net", "TORCH", b"x")
    ensemble.add_function("f", "text")
    late = Model("late", {}, run)
    ensemble.add_model(late)
    for holder in (ensemble, *ensemble):
        assert [attached.name for attached in holder.db_models] == ["net"]
        assert [attached.name for attached in holder.db_scripts] == ["f"]


def test_what_one_member_refuses_no_member_gets(run: RunSettings) -> None:
    ensemble = Ensemble("e", {"a": [1, 2]}, run_settings=run)
    ensemble[1].add_ml_model("net", "TORCH", b"x")
    with pytest.raises(UnsupportedError, match="'e_1' has a DBModel named 'net'"):
        ensemble.add_ml_model("net", "TORCH", b"y")
    assert not list(ensemble.db_models)
    assert not list(ensemble[0].db_models)


def test_a_model_that_cannot_have_what_the_ensemble_has_is_not_added(run: RunSettings) -> None:
    ensemble = Ensemble("e", {"a": [1, 2]}, run_settings=run)
    ensemble.add_ml_model("net", "TORCH", b"x")
    late = Model("late", {}, run)
    late.colocate_db_tcp()
    with pytest.raises(UnsupportedError, match="'net' is in memory"):
        ensemble.add_model(late)
    assert ensemble["late"] is None

"""The contracts are fed broken launchers and schedulers: the test meant for each must reject it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree

import pytest

BROKEN = Path(__file__).parent / "testing"
SOUND = ("Sound", "Telling")

# Who is broken, and the test that is meant for it.
BITES = {
    "LosesCodes": "test_any_other_exit_code_is_a_failure_and_told_exactly[3]",
    "CallsFailuresCompleted": "test_any_other_exit_code_is_a_failure_and_told_exactly[1]",
    "SpellsSignalsAsCodes": "test_death_by_a_signal_is_a_failure_and_the_signal_told[15]",
    "SaysNotWhy": "test_a_failure_has_a_cause_and_words_for_people",
    "ForgetsEnds": "test_an_end_stays_as_it_is",
    "CompletesTooEarly": "test_nothing_reads_completed_before_its_program_has_ended",
    "SwapsOutput": "test_output_and_errors_go_to_their_own_files",
    "MixesOutput": "test_output_and_errors_go_to_their_own_files",
    "TruncatesOutput": "test_50_megabytes_on_both_arrive_whole",
    "ReadsNoPipe": "test_errors_alone_do_not_block",
    "AppendsOutput": "test_output_of_an_earlier_run_is_replaced",
    "DecodesOutput": "test_output_that_is_no_text_arrives_unchanged",
    "UsesAShell": "test_an_argument_arrives_unchanged[quotes]",
    "SplitsVariables": "test_a_variable_arrives_unchanged[commas and equals]",
    "RemembersTheEnvironment": (
        "test_variables_of_the_driver_are_inherited_as_they_are_at_the_start"
    ),
    "KnowsNoUnicode": "test_an_argument_arrives_unchanged[unicode]",
    "ForgetsTheDirectory": "test_a_step_runs_in_its_directory",
    "LeavesInputOpen": "test_input_is_empty",
    "SharesTheSession": "test_a_step_has_a_session_of_its_own",
    "PassesDescriptorsOn": "test_a_step_inherits_no_descriptor_of_the_driver",
    "PassesIgnoredSignalsOn": "test_signals_are_at_their_defaults",
    "DropsOneOfMany": "test_200_at_once_all_end_each_with_its_own_code_and_output",
    "LosesAnId": "test_200_at_once_all_end_each_with_its_own_code_and_output",
    "GivesUpAtTheFirstError": "test_a_program_that_is_not_there_is_an_error_that_names_it",
    "AnswersOutOfOrder": "test_answers_are_in_the_order_of_the_work",
    "FailsWithoutWords": "test_a_program_that_is_not_there_is_an_error_that_names_it",
    "NamesJobsAsSteps": "test_no_two_jobs_have_one_id",
    "MakesFilesOfNames": "test_a_step_may_have_any_name[shell]",
    "StealsSignalHandlers": "test_no_signal_handler_is_changed",
    "CallsTheUnknownCompleted": "test_an_unknown_id_is_absent_and_never_done[number]",
    "AnswersForFewer": "test_an_unknown_id_does_not_spoil_the_answers_for_others",
    "FailsForOneUnknown": "test_an_unknown_id_does_not_spoil_the_answers_for_others",
    "TakesIdsForNumbers": "test_an_unknown_id_is_absent_and_never_done[word]",
    "TellsTwice": "test_every_end_is_told_exactly_once",
    "TellsNotAll": "test_every_end_is_told_exactly_once",
    "TellsOtherThanItAnswers": "test_what_was_told_and_what_is_answered_agree",
    "KillsAtOnce": "test_a_job_is_asked_before_it_is_killed",
    "NeverInsists": "test_a_job_that_ignores_the_request_is_killed",
    "LeavesGrandchildren": "test_children_are_stopped_with_their_job",
    "KillsTheGroupOnly": "test_children_in_their_own_group_that_ignore_the_request_are_stopped",
    "CallsTheStoppedCompleted": "test_a_job_that_returns_0_when_stopped_is_not_completed",
    "CancelsWhatHasEnded": "test_stopping_what_has_ended_changes_nothing",
    "StopsEverything": "test_only_what_was_named_is_stopped",
    "KnowsOnlyItsOwn": "test_stopping_what_is_unknown_is_no_error",
    "PretendsToStop": "test_a_job_that_is_stopped_is_cancelled_and_gone",
    "LeavesZombies": "test_no_zombie_is_left",
    "LeaksDescriptors": "test_descriptors_do_not_grow_with_jobs",
    "LeaksThreads": "test_threads_do_not_grow_with_jobs",
    # Last, because those that come after it have its variables.
    "MergesEnvironments": "test_variables_of_one_step_are_no_others",
}
TELLERS = {"TellsTwice", "TellsNotAll", "TellsOtherThanItAnswers"}
SCHEDULERS = {
    "TakesTheLastWord": "test_chatter_around_the_id_is_not_read_as_an_id[charge]",
    "IsSureOfEveryError": "test_a_job_over_the_limit_waits_for_its_turn",
    "TriesForEver": "test_what_can_never_be_accepted_is_an_error_at_once",
    "SubmitsWithoutATag": "test_the_tag_is_in_what_is_submitted",
    "LooksUpPrefixes": "test_a_job_is_found_by_its_tag_and_not_by_a_part_of_it",
    "CallsTheNewFailed": "test_a_word_that_is_not_known_is_no_end[NEWLY_INVENTED]",
    "ReadsFailuresAsEmpty": "test_a_query_that_failed_without_an_answer_is_an_error",
    "CrashesOnGarbage": "test_a_question_that_was_not_answered_is_an_error_or_no_job[null]",
    "KeepsTheUsersFormats": "test_the_users_habits_do_not_reach_the_parsers",
    "InheritsTheOuterJob": "test_a_job_submitted_from_inside_a_job_has_facts_of_its_own",
    "CleansNoName": "test_a_job_of_any_name_is_accepted",
    "KnowsNoClusters": "test_a_cluster_with_a_name_is_asked_by_it",
    "GivesMembersOneId": "test_each_member_of_an_array_answers_and_is_stopped_for_itself_only",
    "CancelsTheFirstOnly": "test_a_cancel_names_every_job",
    "RequeuesWhatMustNotBe": "test_a_job_that_must_not_be_begun_again_is_not",
    "ForgetsTheLimit": "test_a_job_at_its_limit_of_time_is_a_timeout[told at once]",
    "CallsTimeoutsFailed": "test_a_job_at_its_limit_of_time_is_a_timeout[told late]",
    "CallsTheRequeuedFailed": "test_a_job_that_waits_to_be_begun_again_has_not_failed",
    "AsksForEachJob": "test_many_jobs_are_asked_about_in_one_query",
}
DATABASES = {
    "HidesAPort": "test_a_shard_of_a_cluster_opens_the_ports_that_it_says_and_no_other",
    "WantsToKnowWhere": "test_where_it_listens_may_become_known_after_its_command_was_made",
    "CountsItself": "test_a_shard_tells_how_it_does",
    "FailsForOne": "test_one_shard_that_does_not_answer_spoils_nothing_for_the_others",
    "KnowsEverySetting": (
        "test_a_directive_that_does_not_exist_is_refused_by_name_before_the_start"
    ),
    "VerifiesNothing": "test_a_server_that_has_not_taken_a_setting_is_found_out",
    "DoubtsEverything": "test_what_a_server_was_started_with_is_verified",
    "AsksForSecrets": "test_no_secret_is_in_the_answer_about_settings",
    "AsksInTurn": "test_many_shards_that_do_not_answer_take_no_longer_than_one",
    "ShowsPasswords": "test_a_persons_client_has_its_password_in_the_environment_alone",
}
PLACES = "test_variables_that_tell_a_task_its_place_are_named_completely"
RUN_COMMANDS = {
    "CountsNothing": PLACES,
    "CountsTwice": PLACES,
    "NamesNoVariable": PLACES,
    "NamesNoRank": PLACES,
}
HEAD = """
from datetime import timedelta
from smartcore.testing import DatabaseContract, LauncherContract, RunCommandContract
from smartcore.testing import SchedulerContract
"""
RUN_COMMAND = """
class Test{name}(RunCommandContract):
    command = "broken_run_commands:{name}"
    settings = "smartcore.spec:RunSettings"
    outputs = {{"known": "mpirun (Open MPI) 4.1.4"}}
"""
DATABASE = """
class Test{name}(DatabaseContract):
    backend_class = "broken_databases:{name}"
"""
LAUNCHER = """
class Test{name}(LauncherContract):
    factory = "broken_launchers:{name}"
    patience = timedelta(seconds={patience})
"""
SCHEDULER = """
class Test{name}(SchedulerContract):
    scheduler = "broken_schedulers:{name}"
    patience = timedelta(seconds={patience})
    refused = {{"queue": "no-such-queue"}}
    refusals = ("connection refused",)
    habits = {{"FSTAT_FORMAT": "name"}}
"""
Outcomes = dict[tuple[str, str], str]


def run(path: Path, template: str, sound: Sequence[str], wanted: list[tuple[str, str]]) -> Outcomes:
    """Class and test -> what became of it; all in one run, in a process that they may spoil."""
    broken = [name for name in dict(wanted) if name not in sound]
    classes = [template.format(name=name, patience=60) for name in sound]
    classes += [template.format(name=name, patience=1) for name in broken]
    (path / "test_broken.py").write_text(HEAD + "".join(classes))
    nodes = [f"test_broken.py::Test{name}::{test}" for name, test in dict.fromkeys(wanted)]
    options = ["-p", "no:cacheprovider", "--import-mode=importlib", "--tb=line", "-q"]
    sources = os.pathsep.join([str(BROKEN), *filter(None, sys.path)])
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options, "--junitxml=found.xml", *nodes],
        cwd=path,
        env={**os.environ, "PYTHONPATH": sources},
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    assert (path / "found.xml").exists(), done.stdout + done.stderr
    return {
        (case.get("classname", "").rpartition(".Test")[2], case.get("name", "")): _outcome(case)
        for case in ElementTree.parse(path / "found.xml").iter("testcase")
    }


@pytest.fixture(scope="module")
def launchers(tmp_path_factory: pytest.TempPathFactory) -> Outcomes:
    sound = [("Telling" if name in TELLERS else "Sound", test) for name, test in BITES.items()]
    path = tmp_path_factory.mktemp("launchers")
    return run(path, LAUNCHER, SOUND, [*sound, *BITES.items()])


@pytest.fixture(scope="module")
def schedulers(tmp_path_factory: pytest.TempPathFactory) -> Outcomes:
    sound = [("SoundScheduler", test) for test in SCHEDULERS.values()]
    path = tmp_path_factory.mktemp("schedulers")
    return run(path, SCHEDULER, ["SoundScheduler"], [*sound, *SCHEDULERS.items()])


@pytest.fixture(scope="module")
def databases(tmp_path_factory: pytest.TempPathFactory) -> Outcomes:
    sound = [("SoundDatabase", test) for test in DATABASES.values()]
    path = tmp_path_factory.mktemp("databases")
    return run(path, DATABASE, ["SoundDatabase"], [*sound, *DATABASES.items()])


@pytest.fixture(scope="module")
def run_commands(tmp_path_factory: pytest.TempPathFactory) -> Outcomes:
    sound = [("SoundRunCommand", test) for test in RUN_COMMANDS.values()]
    path = tmp_path_factory.mktemp("run_commands")
    return run(path, RUN_COMMAND, ["SoundRunCommand"], [*sound, *RUN_COMMANDS.items()])


def _outcome(case: ElementTree.Element) -> str:
    found = [child.tag for child in case if child.tag in {"failure", "error", "skipped"}]
    return found[0] if found else "passed"


@pytest.mark.parametrize("name", BITES)
def test_a_broken_launcher_is_rejected_by_the_test_meant_for_it(
    name: str, launchers: Outcomes
) -> None:
    assert launchers[name, BITES[name]] == "failure"


@pytest.mark.parametrize("test", sorted(set(BITES.values())))
def test_the_same_test_accepts_a_sound_launcher(test: str, launchers: Outcomes) -> None:
    assert [launchers[name, test] for name in SOUND if (name, test) in launchers] == ["passed"]


@pytest.mark.parametrize("name", SCHEDULERS)
def test_a_broken_scheduler_is_rejected_by_the_test_meant_for_it(
    name: str, schedulers: Outcomes
) -> None:
    assert schedulers[name, SCHEDULERS[name]] == "failure"


@pytest.mark.parametrize("test", sorted(set(SCHEDULERS.values())))
def test_the_same_test_accepts_a_sound_scheduler(test: str, schedulers: Outcomes) -> None:
    assert schedulers["SoundScheduler", test] == "passed"


@pytest.mark.parametrize("name", DATABASES)
def test_a_broken_database_is_rejected_by_the_test_meant_for_it(
    name: str, databases: Outcomes
) -> None:
    assert databases[name, DATABASES[name]] == "failure"


@pytest.mark.parametrize("test", sorted(set(DATABASES.values())))
def test_the_same_test_accepts_a_sound_database(test: str, databases: Outcomes) -> None:
    assert databases["SoundDatabase", test] == "passed"


@pytest.mark.parametrize("name", RUN_COMMANDS)
def test_a_broken_run_command_is_rejected_by_the_test_meant_for_it(
    name: str, run_commands: Outcomes
) -> None:
    assert run_commands[name, RUN_COMMANDS[name]] == "failure"


@pytest.mark.parametrize("test", sorted(set(RUN_COMMANDS.values())))
def test_the_same_test_accepts_a_sound_run_command(test: str, run_commands: Outcomes) -> None:
    assert run_commands["SoundRunCommand", test] == "passed"

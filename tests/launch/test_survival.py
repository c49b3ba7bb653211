from __future__ import annotations

from pathlib import Path

import pytest

from smartcore.launch.survival import judge, logind_settings, look, own_cgroups

LOGIN = "/user.slice/user-1000.slice/session-3.scope"


@pytest.mark.parametrize(
    ("kills", "lingers", "survives"),
    [(False, False, True), (True, False, False), (True, True, True)],
)
def test_a_login_session_is_ended_only_where_the_site_wants_it(
    kills: bool, lingers: bool, survives: bool
) -> None:
    found = judge(["/", LOGIN], kills=kills, lingers=lingers)
    assert found.survives is survives
    assert LOGIN in found.why
    assert not found.job


def test_what_is_outside_of_a_login_session_survives() -> None:
    service = "/user.slice/user-1000.slice/user@1000.service/app.slice/x.scope"
    assert judge([service], kills=True, lingers=False).survives


@pytest.mark.parametrize(
    "group",
    [
        "/system.slice/slurmstepd.scope/job_42/step_0/user/task_0",
        "/slurm/uid_1000/job_42/step_batch",
        "/pbs_jobs.service/jobid/42.server",
        "/lsf/cluster1/job.42.1700000000",
        "/system.slice/sge/42.1",
        "/system.slice/qs42.1.scope",
    ],
)
def test_what_is_started_in_a_job_ends_with_it(group: str) -> None:
    found = judge([group], kills=False, lingers=True)
    assert (found.survives, found.job) == (False, True)
    assert group in found.why


@pytest.mark.parametrize("group", ["/", "/init.scope", LOGIN, "/user.slice/jobs", "/docker/42ab"])
def test_other_control_groups_are_no_jobs(group: str) -> None:
    assert not judge([group], kills=True, lingers=False).job


def test_the_last_setting_of_the_most_important_file_holds(tmp_path: Path) -> None:
    vendor, admin = tmp_path / "vendor", tmp_path / "admin"
    for directory in (vendor, admin):
        (directory / "logind.conf.d").mkdir(parents=True)
    (vendor / "logind.conf").write_text("[Login]\nKillUserProcesses=yes\nKillExcludeUsers=a b\n")
    (admin / "logind.conf").write_text("[Login]\n#KillUserProcesses=no\n")
    assert logind_settings([vendor, admin]) == {}
    (vendor / "logind.conf.d" / "50-site.conf").write_text("[Login]\nKillUserProcesses=yes\n")
    assert logind_settings([vendor, admin]) == {"killuserprocesses": "yes"}
    (admin / "logind.conf.d" / "50-site.conf").write_text("[Login]\nKillUserProcesses = no\n")
    assert logind_settings([vendor, admin]) == {"killuserprocesses": "no"}


def test_a_file_that_is_no_configuration_is_passed_over(tmp_path: Path) -> None:
    (tmp_path / "logind.conf").write_bytes(b"\xff\xfe nonsense")
    assert logind_settings([tmp_path, tmp_path / "none"]) == {}


def test_control_groups_are_read_in_both_versions(tmp_path: Path) -> None:
    file = tmp_path / "cgroup"
    file.write_text("9:name=systemd:/user.slice\n1:cpu,cpuacct:/a:b\n0::/new\n")
    assert own_cgroups(file) == ["/user.slice", "/a:b", "/new"]
    assert own_cgroups(tmp_path / "none") == []


def test_this_host_can_be_judged() -> None:
    assert look().why

"""Try what the cluster can do: one short command for each ability."""

from __future__ import annotations

import re
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from cluster.command import must, run
from cluster.error import ClusterError
from cluster.process import PAUSE
from cluster.settings import NODES, Settings

HOG = "import time; block = bytearray(600 << 20); time.sleep(60)"
Trial = Callable[[Settings], str]


@dataclass(frozen=True, slots=True)
class Ability:
    name: str
    trial: Trial  # returns what was seen
    needed: bool = True


def check(settings: Settings) -> int:
    """Try all, and print a line for each; the exit code is 1 if one that is needed fails."""
    failed = 0
    for ability in abilities(settings):
        begin = time.monotonic()
        try:
            mark, seen = "ok", ability.trial(settings)
        except ClusterError as error:
            mark, seen = ("FAILED" if ability.needed else "no"), str(error)
            failed += ability.needed
        seconds = time.monotonic() - begin
        sys.stdout.write(f"{ability.name:<18} {mark:<7} {seconds:5.2f} s  {seen}\n")
        sys.stdout.flush()
    return 1 if failed else 0


def abilities(settings: Settings) -> tuple[Ability, ...]:
    accounting = Ability("sacct", _sacct) if settings.accounting else Ability("no sacct", _no_sacct)
    return (
        Ability("versions", _versions),
        Ability("nodes", _nodes),
        Ability("host names", _host_names, needed=settings.host_names),
        Ability("salloc and steps", _salloc),
        Ability("sbatch", _sbatch),
        Ability("job array", _array),
        accounting,
        Ability("scontrol", _scontrol),
        Ability("GPUs", _gpus),
        Ability("memory limit", _memory, needed=settings.cgroup),
        Ability("het job", _het),
        Ability("preemption", _preemption),
        Ability("PMIx", _pmix, needed=False),
    )


def _expect(seen: str, pattern: str) -> str:
    if not re.fullmatch(pattern, seen, re.DOTALL):
        raise ClusterError(f"expected {pattern}, got {seen!r}")
    return " ".join(seen.split())


def _versions(settings: Settings) -> str:
    database = ("mariadbd", "--version")
    texts = [must(settings, "sinfo", "--version"), must(settings, "munged", "--version")]
    if settings.accounting:
        texts.append(must(settings, *database).partition(" for ")[0])
    return ", ".join(text.split("(")[0].strip() for text in texts)


def _nodes(settings: Settings) -> str:
    seen = must(settings, "sinfo", "-h", "-N", "-p", "debug", "-o", "%N %t")
    return _expect(seen, "".join(f"{node} (idle|mix|alloc)\n" for node in NODES))


def _host_names(settings: Settings) -> str:
    seen = must(settings, "srun", "-Q", "-N4", "-t1", "hostname")
    return _expect("".join(sorted(seen.splitlines(keepends=True))), "\n".join(NODES) + "\n")


def _salloc(settings: Settings) -> str:
    script = 'srun --overlap -n4 printenv SLURMD_NODENAME | sort; srun --jobid "$SLURM_JOB_ID" true'
    seen = must(settings, "salloc", "-Q", "-N4", "--ntasks-per-node=1", "-t1", "sh", "-c", script)
    return _expect(seen, "\n".join(NODES) + "\n")


def _sbatch(settings: Settings) -> str:
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "out"
        batch = ("sbatch", "--wait", "--parsable", "-t1", "-n2", f"--output={output}")
        done = run(settings, *batch, "--wrap=srun -n2 echo step; exit 3")
        seen = f"{done.returncode}\n{output.read_text() if output.exists() else ''}"
    return _expect(seen, "3\nstep\nstep\n")


def _array(settings: Settings) -> str:
    batch = ("sbatch", "--wait", "--parsable", "-t1", "--array=0-9", "--output=/dev/null")
    must(settings, *batch, "--wrap=true")
    return "10 tasks"


def _sacct(settings: Settings) -> str:
    must(settings, "srun", "-Q", "-t1", "--job-name=ci-check", "true")
    asked = ("sacct", "-X", "-n", "-P", "--name=ci-check", "--format=state,exitcode")
    end = time.monotonic() + 15  # slurmctld tells slurmdbd of new jobs every 5 s
    seen = ""
    while time.monotonic() < end and "COMPLETED" not in seen:
        seen = must(settings, *asked)
        time.sleep(PAUSE)
    return _expect(seen.splitlines()[-1] if seen else "", "COMPLETED\\|0:0")


def _no_sacct(settings: Settings) -> str:
    return _expect(run(settings, "sacct").stderr, "Slurm accounting storage is disabled\n")


def _scontrol(settings: Settings) -> str:
    job = must(settings, "sbatch", "--parsable", "-p", "closed", "-t1", "--wrap=true").strip()
    seen = must(settings, "scontrol", "-o", "show", "job", job)
    must(settings, "scancel", job)
    return _expect(
        " ".join(re.findall(r"(?:JobState|Reason)=\S+", seen)), ".*PENDING.*PartitionDown"
    )


def _gpus(settings: Settings) -> str:
    step = ("srun", "-Q", "-t1", "-p", "gpu", "-N2", "--gpus-per-node=2")
    return _expect(must(settings, *step, "printenv", "CUDA_VISIBLE_DEVICES"), "0,1\n0,1\n")


def _memory(settings: Settings) -> str:
    done = run(settings, "srun", "-Q", "-t1", "--mem=50", "/usr/bin/python3", "-c", HOG)
    if done.returncode == 0:
        raise ClusterError("a step beyond its memory went on")
    words = "Out Of Memory|exceeded.*memory limit"
    found = re.search(words, done.stderr, re.IGNORECASE)
    return f"exit code {done.returncode}: {found.group() if found else done.stderr.strip()}"


def _het(settings: Settings) -> str:
    argv = ("salloc", "-Q", "-t1", "-n1", ":", "-n2", "srun", "-Q", "--het-group=0,1")
    return _expect(must(settings, *argv, "echo", "task"), "(task\n){3}")


def _preemption(settings: Settings) -> str:
    spot = ("sbatch", "--parsable", "-t1", "-p", "spot", "-w", NODES[3], "--exclusive")
    job = must(settings, *spot, "--output=/dev/null", "--wrap=sleep 60").strip()
    _await_state(settings, job, "RUNNING")
    must(settings, "srun", "-Q", "-t1", "-w", NODES[3], "true")
    return _await_state(settings, job, "PREEMPTED")


def _await_state(settings: Settings, job: str, state: str) -> str:
    end = time.monotonic() + 20
    seen = ""
    while time.monotonic() < end and state not in seen:
        shown = must(settings, "scontrol", "-o", "show", "job", job)
        seen = "".join(re.findall(r"JobState=(\w+)", shown))
        time.sleep(PAUSE)
    return _expect(seen, state)


def _pmix(settings: Settings) -> str:
    step = ("srun", "-Q", "-t1", "--mpi=pmix", "-N4", "-n4", "--label", "printenv", "PMIX_RANK")
    seen = "".join(sorted(must(settings, *step).splitlines(keepends=True)))
    return _expect(seen, "0: 0\n1: 1\n2: 2\n3: 3\n")

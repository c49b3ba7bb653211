from __future__ import annotations

import pytest

from smartcore_mpi.flavours import DIALECTS, recognise

# What the programs printed for --version.
OUTPUTS = [
    (
        "mpirun (Open MPI) 4.1.4\n\nReport bugs to http://www.open-mpi.org/community/help/\n",
        ("openmpi-4", "4.1.4"),
    ),
    (
        "mpiexec (OpenRTE) 4.1.4\n\nReport bugs to http://www.open-mpi.org/community/help/\n",
        ("openmpi-4", "4.1.4"),
    ),
    (
        "orterun (OpenRTE) 4.1.4\n\nReport bugs to http://www.open-mpi.org/community/help/\n",
        ("openmpi-4", "4.1.4"),
    ),
    (
        "mpirun (Open MPI) 5.0.11\n\nReport bugs to https://www.open-mpi.org/community/help/\n\n",
        ("openmpi-5", "5.0.11"),
    ),
    (
        "HYDRA build details:\n    Version:         4.0.2\n    Release Date:   2022\n",
        ("hydra", "4.0.2"),
    ),
    (
        "HYDRA build details:\n    Version:         5.0.2\n    Release Date:   2022\n",
        ("hydra", "5.0.2"),
    ),
    ("mpiexec version 1.2.12 revision 5a5b\n", ("pals", "1.2.12")),  # from its documents
    ("mpirun 3.1 of somebody else\n", ("", "")),
    ("", ("", "")),
]


@pytest.mark.parametrize(("output", "expected"), OUTPUTS)
def test_the_implementation_is_told_by_its_version(output: str, expected: tuple[str, str]) -> None:
    facts = recognise("/usr/bin/mpirun", output)
    assert (facts.flavour, facts.version) == expected
    assert facts.executable == "/usr/bin/mpirun"


def test_every_flavour_that_can_be_told_has_its_dialect() -> None:
    assert {flavour for _, (flavour, _) in OUTPUTS} - {""} == set(DIALECTS)


@pytest.mark.parametrize("dialect", DIALECTS.values(), ids=DIALECTS)
def test_every_dialect_can_say_how_many_where_and_in_which_directory(dialect: object) -> None:
    options = dialect.options  # type: ignore[attr-defined]
    assert {"n", "npernode", "host", "hostfile", "bind-to", "wdir"} <= options.keys()

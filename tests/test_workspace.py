"""What holds for the repository as a whole: versions, entry points, wheels, dependency rules."""

from __future__ import annotations

import ast
import os
import shutil
import subprocess
import sys
import sysconfig
import tomllib
import venv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import smartcore
from smartcore.known import known_plugins

ROOT = Path(__file__).parents[1]
PROJECTS = sorted(ROOT.glob("plugins/*/pyproject.toml"))
DEFAULT_LAUNCHER = "local"
# The default of a signature that users know.
PART_OF_THE_API = {"smartcore/spec/mpi.py: 'mpiexec'"}


def read(project: Path) -> dict[str, Any]:
    return tomllib.loads(project.read_text())


def run(*argv: str, cwd: Path, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        argv,
        cwd=cwd,
        env={**os.environ, **env},
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )


@pytest.mark.parametrize("project", PROJECTS, ids=lambda project: project.parent.name)
def test_a_plugin_is_a_distribution_of_this_version_with_an_entry_point(project: Path) -> None:
    table = read(project)["project"]
    assert table["name"] == f"smartcore-{project.parent.name}"
    assert table["version"] == smartcore.__version__
    minor = ".".join(smartcore.__version__.split(".")[:2])
    assert f"smartcore ~= {minor}.0" in table["dependencies"]
    assert table["entry-points"]["smartcore"]
    assert (project.parent / table["readme"]).read_text().strip()


def test_the_dependency_rules_name_every_plugin_and_every_module_of_the_core() -> None:
    rules = read(ROOT / "pyproject.toml")["tool"]["importlinter"]
    packages = {f"smartcore_{p.parent.name.replace('-', '_')}" for p in PROJECTS}
    assert set(rules["root_packages"]) == {"smartcore", *packages}
    _, core, plugins, independent = rules["contracts"]
    assert set(core["forbidden_modules"]) == packages
    assert set(plugins["source_modules"]) == set(independent["modules"]) == packages
    modules = {
        f"smartcore.{path.stem}"
        for path in (ROOT / "smartcore").iterdir()
        if (path.suffix == ".py" and not path.stem.startswith("__"))
        or (path / "__init__.py").exists()
    }
    allowed = {"smartcore.spec", "smartcore.error"}
    assert set(plugins["forbidden_modules"]) == modules - allowed


VIOLATIONS = {
    "the core has layers": ("smartcore/spec/ids.py", "from smartcore import registry"),
    "the core knows no plugin": ("smartcore/summary.py", "import smartcore_local"),
    "plugins know nothing of the core but spec and error": (
        "plugins/local/src/smartcore_local/launcher.py",
        "import smartcore.entity",
    ),
    "plugins know no other plugin": (
        "plugins/local/src/smartcore_local/launcher.py",
        "import smartcore_mpi",
    ),
}


@pytest.mark.parametrize("rule", VIOLATIONS)
def test_each_dependency_rule_bites_on_a_planted_violation(rule: str, tmp_path: Path) -> None:
    ignored = shutil.ignore_patterns("__pycache__", "tests")
    shutil.copytree(ROOT / "smartcore", tmp_path / "smartcore", ignore=ignored)
    shutil.copytree(ROOT / "plugins", tmp_path / "plugins", ignore=ignored)
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    sources = ":".join(map(str, [tmp_path, *sorted(tmp_path.glob("plugins/*/src"))]))
    linter = str(Path(sys.executable).with_name("lint-imports"))
    path, line = VIOLATIONS[rule]
    with (tmp_path / path).open("a") as file:
        file.write(f"\n{line}\n")
    done = run(linter, "--no-cache", cwd=tmp_path, PYTHONPATH=sources)
    assert done.returncode == 1, done.stdout + done.stderr
    assert f"{rule} BROKEN" in done.stdout


def constants(tree: ast.AST) -> Iterator[str]:
    documentation = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef)
        and node.body
        and isinstance(node.body[0], ast.Expr)
    }
    for node in ast.walk(tree):
        text = node.value if isinstance(node, ast.Constant) else None
        if isinstance(text, str) and id(node) not in documentation:
            yield text


def test_the_core_holds_no_plugins_name_but_the_default_launchers() -> None:
    names = {
        name
        for plugin in known_plugins()
        for name in (*plugin.launchers, *plugin.run_commands, plugin.distribution)
    } - {DEFAULT_LAUNCHER}
    found = {
        f"{path.relative_to(ROOT)}: {text!r}"
        for path in sorted((ROOT / "smartcore").rglob("*.py"))
        for text in constants(ast.parse(path.read_text()))
        if text in names
    }
    assert found == PART_OF_THE_API


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    target = tmp_path_factory.mktemp("wheels")
    for project in (ROOT, *(path.parent for path in PROJECTS)):
        argv = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(target)]
        done = run(*argv, str(project), cwd=target)
        assert done.returncode == 0, done.stdout + done.stderr
    return sorted(map(str, target.glob("*.whl")))


HELLO = """
from smartcore import Experiment
import smartcore, smartcore_local
exp = Experiment("hello", launcher="auto")
db = exp.create_database()
model = exp.create_model("hello", exp.create_run_settings("echo", "hello"))
exp.generate(db, model)
exp.start(db, model)
exp.stop(db)
print(smartcore.__file__, smartcore_local.__file__)
print(exp.summary())
"""


def test_hello_world_runs_from_installed_wheels_outside_the_checkout(
    wheels: list[str], tmp_path: Path
) -> None:
    assert len(wheels) == len(PROJECTS) + 1
    home = tmp_path / "venv"
    venv.create(home, with_pip=False)
    python = str(home / "bin" / "python")
    pip = [sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--no-deps"]
    done = run(*pip, *wheels, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    # Third-party packages come from the environment of the tests; what a .pth file adds is searched
    # last, and editable installs there stay unseen.
    site = run(python, "-c", "import site; print(site.getsitepackages()[0])", cwd=tmp_path).stdout
    (Path(site.strip()) / "tests.pth").write_text(sysconfig.get_path("purelib"))
    (tmp_path / "hello.py").write_text(HELLO)
    done = run(python, "hello.py", cwd=tmp_path, SMARTCORE_LAUNCHER="local")
    assert done.returncode == 0, done.stderr
    assert str(ROOT) not in done.stdout
    assert (tmp_path / "hello" / "hello" / "hello.out").read_text() == "hello\n"
    assert "Completed" in done.stdout

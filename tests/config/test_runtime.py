from __future__ import annotations

import os
from pathlib import Path

import pytest

from smartcore.config import Config, load
from smartcore.config.runtime import runtime_directory, runtime_path
from smartcore.error import ConfigError

NOWHERE = Path("/nonexistent")


def sockets_in(path: Path) -> Config:
    return load({"SMARTCORE_RUNTIME_DIR": str(path)}, site_file=NOWHERE)


def test_the_runtime_directory_is_made_for_its_owner_only(tmp_path: Path) -> None:
    made = runtime_directory(sockets_in(tmp_path / "a" / "b"))
    assert made == tmp_path / "a" / "b"
    assert made.stat().st_mode & 0o777 == 0o700
    assert runtime_directory(sockets_in(made)) == made


def test_it_stands_below_the_sessions_directory_if_there_is_one(tmp_path: Path) -> None:
    settings = load({"XDG_RUNTIME_DIR": str(tmp_path)}, site_file=NOWHERE)
    assert runtime_path(settings) == tmp_path / "smartcore"


def test_a_sessions_directory_that_this_host_lacks_is_not_used(tmp_path: Path) -> None:
    settings = load({"XDG_RUNTIME_DIR": str(tmp_path / "gone")}, site_file=NOWHERE)
    assert runtime_path(settings) == Path(f"/tmp/smartcore-{os.geteuid()}")


def test_a_runtime_directory_open_to_others_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "open"
    path.mkdir(mode=0o755)
    path.chmod(0o755)
    with pytest.raises(ConfigError, match=f"chmod 700 {path}"):
        runtime_directory(sockets_in(path))
    path.chmod(0o1777)  # as /tmp is
    with pytest.raises(ConfigError, match="open to others; set SMARTCORE_RUNTIME_DIR") as caught:
        runtime_directory(sockets_in(path))
    assert "chmod" not in str(caught.value)


def test_a_runtime_directory_of_somebody_else_is_refused() -> None:
    foreign = Path("/usr")
    settings = sockets_in(foreign)
    with pytest.raises(ConfigError, match=r"/usr (belongs to the user|is open to others)"):
        runtime_directory(settings)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_a_private_directory_of_somebody_else_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "theirs"
    path.mkdir(mode=0o700)
    os.chown(path, 12345, -1)
    with pytest.raises(ConfigError, match="belongs to the user 12345"):
        runtime_directory(sockets_in(path))


def test_a_default_runtime_directory_that_is_a_link_is_refused(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir(mode=0o700)
    (tmp_path / "smartcore").symlink_to("elsewhere")
    with pytest.raises(ConfigError, match="symbolic link"):
        runtime_directory(load({"XDG_RUNTIME_DIR": str(tmp_path)}, site_file=NOWHERE))


def test_a_runtime_directory_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match=r"cannot make .*file/x"):
        runtime_directory(sockets_in(tmp_path / "file" / "x"))

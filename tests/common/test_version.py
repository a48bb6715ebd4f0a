"""The fingerprint follows the product's files; the commit is read right in every kind of checkout.

Everything runs on a copy of the sources, in a process of its own.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from apps import __version__
from lab.paths import CHECKOUT

SHA_VARIABLE = "SCREENALYTICS_GIT_SHA"
PROGRAM = (
    "import json\n"
    "from apps import __version__\nfrom apps.common.version import git_sha, source_fingerprint\n"
    "print(json.dumps([__version__, git_sha(), source_fingerprint()]))"
)
ASKED_AGAIN = (
    "import sys\nfrom apps.common.version import source_fingerprint\n"
    "for _ in sys.stdin: print(source_fingerprint(), flush=True)"
)
needs_git = pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")


def ask(folder: Path, **variables: str) -> tuple[str, str, str]:
    """Version, commit and fingerprint that the code in `folder` tells of itself."""
    environ = {key: value for key, value in os.environ.items() if key != SHA_VARIABLE}
    done = subprocess.run(
        [sys.executable, "-B", "-c", PROGRAM],
        cwd=folder,
        env={**environ, **variables},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    version, sha, fingerprint = json.loads(done.stdout)
    return version, sha, fingerprint


@contextmanager
def asking(folder: Path) -> Iterator[Callable[[], str]]:
    """The fingerprint, as often as it is asked for, of the files as they then are."""
    with subprocess.Popen(
        [sys.executable, "-B", "-c", ASKED_AGAIN],
        cwd=folder,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        stdin, stdout = process.stdin, process.stdout

        def fingerprint() -> str:
            stdin.write("\n")
            stdin.flush()
            return stdout.readline().strip()

        yield fingerprint


def git(folder: Path, *arguments: str) -> str:
    done = subprocess.run(
        ["git", "-c", "user.name=t", "-c", "user.email=t@localhost", *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return done.stdout.strip()


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The sources without their history; only what the fingerprint and the import need."""
    folder = tmp_path / "copy"
    ignore = shutil.ignore_patterns("__pycache__")
    for name in ("apps", "tools"):
        shutil.copytree(CHECKOUT / name, folder / name, ignore=ignore)
    shutil.copy(CHECKOUT / "pyproject.toml", folder)
    return folder


@pytest.fixture
def repository(copy: Path) -> Path:
    git(copy, "init", "-q", "-b", "main")
    git(copy, "add", ".")
    git(copy, "commit", "-q", "-m", "first")
    return copy


# --- fingerprint ------------------------------------------------------------------------------


def test_a_copy_has_the_same_fingerprint(copy: Path, tmp_path: Path) -> None:
    moved = tmp_path / "elsewhere"
    _, _, before = ask(copy)
    copy.rename(moved)

    assert ask(moved)[2] == before
    assert len(before) == 16
    int(before, 16)


def test_the_version_is_the_packages(copy: Path) -> None:
    assert ask(copy)[0] == __version__
    with (CHECKOUT / "pyproject.toml").open("rb") as stream:
        assert "version" in tomllib.load(stream)["project"]["dynamic"]


def test_a_changed_a_new_a_renamed_and_a_removed_file_change_it(copy: Path) -> None:
    with asking(copy) as fingerprint:
        seen = [fingerprint()]
        for name in (
            "apps/__init__.py",
            "apps/common/version.py",
            "apps/pipeline/detect/__init__.py",
            "apps/config/profiles.toml",
            "apps/ui/assets/upload/upload.js",
        ):
            with (copy / name).open("a") as stream:
                stream.write("\n# changed\n")
            seen.append(fingerprint())
        changed = len(seen)
        extra = copy / "apps" / "common" / "extra.py"
        extra.write_text("")
        seen.append(fingerprint())
        extra = extra.rename(extra.with_name("other.py"))
        seen.append(fingerprint())
        extra.unlink()

        assert len(set(seen)) == len(seen) == changed + 2
        assert all(len(one) == 16 for one in seen)
        assert fingerprint() == seen[changed - 1]
    assert ask(copy)[2] == seen[changed - 1]


def test_other_files_do_not_change_it(copy: Path) -> None:
    with asking(copy) as fingerprint:
        before = fingerprint()
        for name in (
            "README.md",
            "tools/up.py",
            "tests/test_x.py",
            "data/videos/x.py",
            "apps/notes.txt",
        ):
            path = copy / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("x")

        assert len(before) == 16
        assert fingerprint() == before


# --- commit -----------------------------------------------------------------------------------


@needs_git
@pytest.mark.skipif(not (CHECKOUT / ".git").exists(), reason="not a checkout")
def test_this_checkout() -> None:
    assert ask(CHECKOUT)[1] == git(CHECKOUT, "rev-parse", "HEAD")


@needs_git
@pytest.mark.parametrize(
    "steps",
    [
        pytest.param([], id="branch"),
        pytest.param([["pack-refs", "--all"]], id="packed"),
        pytest.param([["checkout", "-q", "--detach"]], id="detached"),
        pytest.param([["checkout", "-q", "-b", "feature/a.b"]], id="branch with a slash"),
    ],
)
def test_kinds_of_checkout(repository: Path, steps: list[list[str]]) -> None:
    for step in steps:
        git(repository, *step)

    assert ask(repository)[1] == git(repository, "rev-parse", "HEAD")


@needs_git
@pytest.mark.parametrize(
    ("options", "packed"),
    [(["-b", "side"], False), (["-b", "side"], True), (["--detach"], False)],
    ids=["branch", "packed", "detached"],
)
def test_a_worktree(repository: Path, tmp_path: Path, options: list[str], packed: bool) -> None:
    side = tmp_path / "side"
    git(repository, "worktree", "add", "-q", *options, str(side))
    if packed:
        git(repository, "pack-refs", "--all")

    assert ask(side)[1] == git(side, "rev-parse", "HEAD")


def test_without_a_checkout(copy: Path) -> None:
    assert ask(copy)[1] == "unknown"
    assert ask(copy, **{SHA_VARIABLE: "abc123"})[1] == "abc123"


@pytest.mark.parametrize("text", ["", "gitdir: /nowhere\n", "garbage"])
def test_a_broken_checkout_is_unknown(copy: Path, text: str) -> None:
    (copy / ".git").write_text(text)

    assert ask(copy)[1] == "unknown"


@needs_git
def test_a_repository_without_a_commit_is_unknown(copy: Path) -> None:
    git(copy, "init", "-q", "-b", "main")

    assert ask(copy)[1] == "unknown"

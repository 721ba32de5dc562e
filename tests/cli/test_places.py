"""Paths that lead elsewhere, links, pipes, files that can't be read, trees that can't be written."""

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from driver import SPEC, Repo

EVERYWHERE = [
    "fleet.yaml",
    "clusters",
    "clusters/eu-1.yaml",
    "specs",
    "specs/chat",
    "specs/chat/canary.yaml",
    "specs/chat/system.md",
    "overlays",
    "overlays/chat",
    "overlays/chat/clusters",
    "overlays/chat/clusters/eu-1",
    "overlays/chat/clusters/eu-1/kustomization.yaml",
    "overlays/chat/releases",
    "overlays/chat/candidate.yaml",
]


@pytest.fixture
def outside(repo: Repo, tmp_path: Path) -> Path:
    """A copy of the rendered repository beside it: what a link would lead to is all right in itself."""
    repo.rendered()
    return Path(shutil.copytree(repo.root, tmp_path / "elsewhere"))


@pytest.mark.parametrize("path", EVERYWHERE)
@pytest.mark.parametrize("command", [["render", "--check"], ["render"]], ids=" ".join)
def test_a_link_out_of_the_tree(repo: Repo, outside: Path, path: str, command: list[str]) -> None:
    present = repo.root / path
    if present.is_dir():
        shutil.rmtree(present)
    else:
        present.unlink()
    present.symlink_to(outside / path)
    before = sorted(outside.rglob("*"))
    result = repo.refused(*command)
    assert {"CF011"} <= result.codes
    assert "symbolic link that leads out of the repository" in result.err
    assert sorted(outside.rglob("*")) == before


@pytest.mark.parametrize("path", [path for path in EVERYWHERE if "." in path])
def test_a_pipe_is_not_waited_for(repo: Repo, path: str) -> None:
    repo.rendered()
    (repo.root / path).unlink()
    os.mkfifo(repo.root / path)
    assert "a pipe, not a regular file" in repo.refused("render", "--check").err


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("../../../elsewhere.md", "CF011"),
        ("/etc/hostname", "CF011"),
        ("../../.git/config", "CF011"),
        ("../../.GIT/config", "CF011"),
        ("", "CF011"),
        (".", "CF012"),
        ("..", "CF012"),
        ("none.md", "CF010"),
        ("canary.yaml/x", "CF010"),
        ("a\\0b", "CF011"),
        ("a\\nb", "CF011"),
        ("-rf", "CF010"),
        ("$(cat /etc/passwd)", "CF010"),
    ],
)
def test_prompts_stay_in_the_repository(repo: Repo, path: str, code: str) -> None:
    repo.write(".git/config", "[http]\n  extraheader = secret\n")
    repo.write("specs/chat/canary.yaml", SPEC.replace("[system.md]", f'["{path}"]'))
    first = repo.refused("lint").findings[0]
    assert (first.file, first.line, first.code) == ("specs/chat/canary.yaml", 8, code), first.text


@pytest.mark.parametrize(
    ("base", "code"),
    [("../../../x", "CF011"), ("/", "CF011"), ("", "CF033"), ("none", "CF010"), ("canary.yaml", "CF010"),
     ("../../.git", "CF011"), ("https://github.com/acme/x", "CF010"), ("git@github.com:acme/x", "CF010")],
)  # fmt: skip
def test_a_base_stays_in_the_repository(repo: Repo, base: str, code: str) -> None:
    repo.write("specs/chat/canary.yaml", SPEC.replace("image:", "base:").replace("port: 8000", "port: 80"))
    text = (repo.root / "specs/chat/canary.yaml").read_text()
    line = next(line for line in text.splitlines() if "base:" in line)
    repo.write("specs/chat/canary.yaml", text.replace(line, f'  base: "{base}"'))
    repo.write(".git/kustomization.yaml", "resources: []\n")
    first = repo.refused("lint").findings[0]
    assert first.code == code, first.text


@pytest.mark.parametrize("word", ["..", ".", "../specs/chat", "/", "-x", "chat/", "chat\n", "cht", ".hidden"])
def test_an_app_that_is_none(repo: Repo, word: str) -> None:
    for command in (["lint", "--", word], ["render", "--", word]):
        assert repo.refused(*command).codes == {"CF015"}
    assert repo.run("lint", "cht").err.splitlines()[0].endswith("(did you mean chat?)")


@pytest.mark.parametrize(
    ("app", "cluster"),
    [("..", ".."), ("chat", "../../chat/clusters/eu-1"), ("/", "etc"), ("chat", "none"), ("none", "eu-1"), ("", "")],
)  # fmt: skip
def test_build_reads_overlays_only(repo: Repo, app: str, cluster: str) -> None:
    repo.rendered()
    result = repo.refused("build", app, cluster)
    assert result.codes <= {"CF010", "CF011"}


@pytest.mark.parametrize("release", ["..", "../../../fleet.yaml", "/etc", "none", "-"])
def test_point_takes_releases_only(repo: Repo, release: str) -> None:
    assert repo.run("render").code == 0
    repo.refused("point", "chat", "--wave", "pilot", f"--release={release}")


def test_a_release_under_another_name_is_none(repo: Repo) -> None:
    assert repo.run("render").code == 0
    releases = repo.root / "overlays/chat/releases"
    shutil.copytree(next(releases.iterdir()), releases / "copy")
    assert repo.refused("point", "chat", "--wave", "pilot", "--release", "copy").codes == {"CF163"}


NAMES = [
    "..",
    "-rf",
    "a b",
    "a;b",
    "$(x)",
    "`id`",
    "a'b",
    "Chat",
    "a/../b",
    "a\\nb",
    "",
    "x" * 64,
    "{{x}}",
    "a%0ab",
]


@pytest.mark.parametrize("name", NAMES)
def test_names_that_are_none(repo: Repo, name: str) -> None:
    """Apps, namespaces, waves, metrics, clusters: nothing that a shell, a path or a template could mean."""
    quoted = f'"{name}"'
    repo.write("clusters/eu-1.yaml", (repo.root / "clusters/eu-1.yaml").read_text().replace("eu-1", quoted))
    text = SPEC.replace("name: chat", f"name: {quoted}").replace("inference", quoted)
    text = text.replace("name: rest", f"name: {quoted}").replace("{preset:", f"{{name: {quoted}, preset:")
    repo.write("specs/chat/canary.yaml", text)
    lines = {(finding.file, finding.line) for finding in repo.refused("lint").findings}
    spec = {("specs/chat/canary.yaml", line) for line in (3, 16, 19)}
    assert lines >= spec | {("clusters/eu-1.yaml", 4)}


def test_a_spec_that_nobody_reads_is_named(repo: Repo) -> None:
    (repo.root / "specs/chat/canary.yaml").rename(repo.root / "specs/chat/canary.yml")
    (finding,) = repo.refused("lint").findings
    assert finding.code == "CF018"
    assert "canary.yml is read by nobody: name it canary.yaml" in finding.text


def test_no_fleet(repo: Repo) -> None:
    (repo.root / "fleet.yaml").unlink()
    result = repo.refused("lint")
    assert result.findings[0].text.startswith("fleet.yaml: error CF010: there is no such file")


@pytest.mark.parametrize("root", ["none", "fleet.yaml"])
def test_a_root_that_is_no_folder(repo: Repo, root: str) -> None:
    from driver import run

    result = run("lint", "--root", str(repo.root / root))
    assert result.code == 1
    assert result.codes == {"CF010"}


# People without the right to read or to write. root may do everything, so it becomes somebody else.

NOBODY = 65534


class Rights:
    """A rendered repository, and what this process may do there."""

    def __init__(self, folder: Path) -> None:
        folder.chmod(0o755)
        self.repo = Repo(folder / "fleet").rendered()
        self.was = os.geteuid()

    def drop(self) -> None:
        """Only read from now on."""
        if self.was == 0:
            os.seteuid(NOBODY)
        else:
            self._add(lambda mode: mode & ~0o222)

    def regain(self) -> None:
        """Everything again."""
        os.seteuid(self.was)
        self._add(lambda mode: mode | 0o700)

    def _add(self, change: Callable[[int], int]) -> None:
        self.repo.root.chmod(change(self.repo.root.stat().st_mode))
        for path in sorted(self.repo.root.rglob("*")):
            path.chmod(change(path.stat().st_mode))


@pytest.fixture
def rights() -> Iterator[Rights]:
    """Not below pytest's folder, which nobody else may enter."""
    folder = Path(tempfile.mkdtemp(prefix="canaryfleet-test-"))
    made = Rights(folder)
    yield made
    made.regain()
    shutil.rmtree(folder)


@pytest.mark.parametrize(
    "path", ["specs/chat/canary.yaml", "specs/chat/system.md", "clusters/eu-2.yaml", "specs"]
)
def test_what_may_not_be_read(rights: Rights, path: str) -> None:
    (rights.repo.root / path).chmod(0)
    rights.drop()
    result = rights.repo.run("lint")
    assert result.code == 1
    assert "CF012" in result.codes
    assert "Permission denied" in result.err


def test_a_tree_that_may_not_be_written(rights: Rights) -> None:
    repo = rights.repo
    rights.drop()
    assert repo.run("render", "--check").code == 0
    assert "0 files changed" in repo.run("render").out
    rights.regain()
    repo.write("specs/chat/system.md", "You are kinder.\n")
    before = repo.snapshot()
    rights.drop()
    result = repo.run("render")
    assert (result.code, result.codes) == (1, {"CF013"})
    assert "nothing has been changed" in result.err
    assert repo.snapshot() == before

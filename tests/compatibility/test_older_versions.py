"""What docs/compatibility.md promises: a repository, a record and a configuration of an older canaryfleet go on.

`0.1.0/` is a repository as that version left it: two apps, the second release of one of them on its pilot, a hold, a
release that is done. It is never rendered anew: where one of these tests fails, the code is wrong, or the promise.
"""

import io
import json
import os
import shutil
import subprocess
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import NamedTuple

import pytest

import canaryfleet
from canaryfleet import __version__, cli
from canaryfleet.files import Tree
from canaryfleet.generated import load
from canaryfleet.render import know

HERE = Path(__file__).parent
OLDER = "0.1.0"
BUILT = sorted((HERE / f"{OLDER}-built").iterdir())


GIT = ["git", "-c", "user.name=ann", "-c", "user.email=ann@acme.example", "-c", "commit.gpgSign=false"]


def git(root: Path, *words: str) -> None:
    """Run git as a person without any settings of their own."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    environment = kept | {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull}
    subprocess.run([*GIT, *words], cwd=root, env=environment, check=True, capture_output=True)


class Said(NamedTuple):
    code: int
    out: str
    err: str


def run(root: Path | None, *words: str) -> Said:
    """Run a command, on a repository if it needs one."""
    out, err = (
        io.TextIOWrapper(io.BytesIO(), "utf-8", newline=""),
        io.StringIO(),
    )  # as a process has it: with bytes below
    with redirect_stdout(out), redirect_stderr(err):
        code = cli.main([*words, *(["--root", str(root)] if root else [])])
    out.seek(0)
    return Said(code, out.read(), err.getvalue())


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """The repository, committed: what is frozen in it stays."""
    root = tmp_path / "fleet"
    shutil.copytree(HERE / OLDER, root)
    git(root, "init", "-q", "-b", "main")
    git(root, "add", "--all")
    git(root, "commit", "-q", "-m", "all")
    return root


def frozen(root: Path) -> dict[str, bytes]:
    """The immutable files."""
    parts = ("releases", "config")
    found = {
        path.relative_to(root).as_posix(): path for path in (root / "overlays").rglob("*") if path.is_file()
    }
    return {name: path.read_bytes() for name, path in found.items() if name.split("/")[2] in parts}


def test_it_is_read_and_nothing_in_it_is_wrong(root: Path) -> None:
    for words in (["lint"], ["plan"], ["render", "--check"]):
        said = run(root, *words)
        assert said.code == 0, said.err


def test_its_specs_resolve_to_the_releases_that_they_did(root: Path) -> None:
    known = know(Tree(root))
    for app, now in known.frozen.items():
        path = f"overlays/{app}/candidate.yaml"
        assert load((root / path).read_bytes(), path)["release"] == now.release.id


def test_rendering_changes_nothing_that_is_frozen_and_moves_nobody(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        canaryfleet, "__version__", "99.0.0"
    )  # whose releases differ from those that are there
    before = frozen(root)
    pointers = know(Tree(root)).running
    assert run(root, "render").code == 0
    assert frozen(root) == before
    assert know(Tree(root)).running == pointers
    assert run(root, "render", "--check").code == 0


@pytest.mark.parametrize("expected", BUILT, ids=lambda path: path.stem)
def test_argo_cd_is_given_the_same_objects(root: Path, expected: Path) -> None:
    app, cluster = expected.stem.split(".")
    assert run(root, "build", app, cluster).out == expected.read_text()


def test_its_holds_and_fallbacks_are_known(root: Path) -> None:
    assert "held by ann" in run(root, "plan", "search", "--output", "json").out
    said = run(root, "rollback", "search", "--why", "too slow", "--output", "json")
    assert said.code == 0, said.err
    pointer = (root / "overlays/search/clusters/eu-1/kustomization.yaml").read_text()
    assert "releases/1.0.0-" in pointer
    assert "releases/1.1.0-" not in pointer
    assert "until Monday's review" in (root / "overlays/search/promotion.yaml").read_text()


def test_its_records_are_explained() -> None:
    said = run(None, "explain", str(HERE / f"{OLDER}-record.json"), "--output", "json")
    assert said.code in (0, 1)  # a newer rule may decide otherwise; both decisions are shown
    assert json.loads(said.out)["version"] == OLDER


def newer(root: Path) -> None:
    """The pilot's release as a newer canaryfleet might have made it: with a field that nobody knows here."""
    (release,) = (root / "overlays/search/releases").glob("1.1.0-*/release.yaml")
    text = release.read_text().replace(f'canaryfleet: "{OLDER}"', 'canaryfleet: "99.0.0"')
    release.write_text(text + "future:\n  field: true\n")
    git(root, "commit", "-q", "-a", "-m", "by a newer one")


def test_a_release_of_a_newer_version_is_refused_by_name(root: Path) -> None:
    newer(root)
    before = frozen(root)
    for words in (["render", "--check"], ["render"], ["point", "search", "--wave", "europe"]):
        said = run(root, *words)
        assert said.code == 1
        assert "CF163" in said.err
        assert f"canaryfleet 99.0.0 made it, and this is {__version__}: use the newer of the two" in said.err
    assert frozen(root) == before


def test_argo_cds_plugin_gives_also_what_a_newer_version_made(root: Path) -> None:
    newer(root)
    (expected,) = (path for path in BUILT if path.stem == "search.eu-1")
    assert run(root, "build", "search", "eu-1").out == expected.read_text()


def test_another_version_of_the_spec_is_refused_with_its_place(root: Path) -> None:
    spec = root / "specs/search/canary.yaml"
    spec.write_text(spec.read_text().replace("canaryfleet.dev/v1alpha1", "canaryfleet.dev/v1"))
    said = run(root, "lint")
    assert said.code == 1
    assert "\nspecs/search/canary.yaml:1:13: error CF033: " in f"\n{said.err}"
    assert "canaryfleet.dev/v1alpha1" in said.err

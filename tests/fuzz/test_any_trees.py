"""Files of a repository that anybody wrote: commands that read them end well, and leave everything as it was."""

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from driver import Repo
from hostile import altered, as_json, data_of, ends, spoiled, tried
from hypothesis import example, given
from hypothesis import strategies as st

from canaryfleet import actions
from canaryfleet.errors import UsageError
from canaryfleet.syntax import parse_stream

NOW = "2026-11-16T10:00:00Z"
SAID = {"by": "ann", "since": NOW, "why": "slow"}
PROMOTION: Any = {
    "apiVersion": "canaryfleet.dev/v1alpha1", "kind": "Promotion", "metadata": {"name": "chat"},
    "bars": [{"workload": "bb0aa4c719d2b3eb8e17", **SAID}, {"release": "1.0.0-0123456789ab", "until": NOW, **SAID}],
    "holds": [{"wave": "rest", **SAID}, {"cluster": "eu-2", **SAID}], "excused": [{"cluster": "eu-2", **SAID}],
}  # fmt: skip
DONE: Any = {"release": "1.0.0-0123456789ab", "key": "0123456789abcdef"}
READS = (
    ["lint"], ["render", "--check"], ["status"], ["plan"], ["build", "chat", "eu-1"], ["diff"], ["rbac"], ["forecast", "chat", "--runs", "2"],
    ["report", "html", "--output", "json"], ["prune", "--dry-run"], ["lint", "--output", "sarif"], ["__complete", "--", "status", ""],
    ["review", "--runs", "1"], ["review", "--runs", "1", "--output", "markdown"], ["diff", "--output", "markdown"],
    ["status", "--output", "json"], ["review", "--runs", "1", "--output", "json"],
)  # fmt: skip
WRITES = (["render"], ["point", "chat", "--wave", "rest", "--verified", "all"], ["hold", "chat", "--why", "x", "--by", "ann"],
          ["rollback", "chat", "--why", "x", "--by", "ann"], ["excuse", "chat", "eu-2", "--why", "x", "--by", "ann"])  # fmt: skip


class Place:
    """A repository beside a folder of somebody else's, which nothing may touch."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.repo = Repo(folder / "fleet").rendered()
        self.repo.write("overlays/chat/promotion.yaml", yaml.safe_dump(PROMOTION))
        self.repo.write("overlays/chat/done.yaml", yaml.safe_dump(DONE))
        self.repo.committed()
        (folder / "else").mkdir()
        (folder / "else" / "kept").write_text("kept")
        self.files = sorted(name for name in self.repo.snapshot() if (self.repo.root / name).is_file())

    def elsewhere(self) -> list[tuple[str, str]]:
        return [(str(path), path.read_text()) for path in sorted((self.folder / "else").rglob("*"))] + [
            (path.name, "") for path in sorted(self.folder.iterdir())
        ]

    def kinds(self) -> list[str]:
        """A file of each kind, by its name and where it is."""
        names = {"/".join(_any(part) for part in path.split("/")): path for path in self.files}
        return sorted(names.values())


def _any(part: str) -> str:
    return "*" if part.startswith(("1.0.0-", "eu-")) or len(part) == 20 else part


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    return Place(tmp_path_factory.mktemp("trees"))


@pytest.fixture
def changed(place: Place) -> Iterator[Place]:
    yield place
    for top in ("overlays", "specs", "clusters", "fleet.yaml"):
        path = place.repo.root / top
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
    place.repo.git("checkout", "-q", "--", ".")
    place.repo.git("clean", "-q", "-d", "-f")


@st.composite
def contents(draw: st.DrawFn, data: bytes) -> bytes:
    """Other content of a file: the document changed, the bytes changed."""
    if draw(st.booleans()):
        return draw(spoiled(data))
    try:
        documents = list(yaml.safe_load_all(data))
    except (yaml.YAMLError, UnicodeDecodeError):
        return draw(spoiled(data))
    other = draw(altered(documents[0] if len(documents) == 1 else documents))
    # JSON is YAML: the same document as our own reader of generated files would never write it.
    return (
        as_json(other)
        if draw(st.booleans())
        else yaml.safe_dump(other, allow_unicode=True).encode(errors="replace")
    )


def tried_on(place: Place, command: list[str], *, writes: bool) -> None:
    before, others = place.repo.snapshot(), place.elsewhere()
    result = ends(*command, *(["--root", str(place.repo.root)] if command[0] != "__complete" else []))
    assert place.elsewhere() == others
    after = place.repo.snapshot()
    assert all(not str(after[name]).startswith("link") for name in after.keys() - before.keys())
    if writes:
        assert all(
            name.startswith(("overlays/", "argocd/")) for name in after if after.get(name) != before.get(name)
        )
    else:
        assert after == before
    if result.code == 0 and command[0] == "build":
        assert parse_stream(result.out.encode(), "built")
    if result.code == 0 and "json" in command:
        json.loads(result.out)


@tried(25)
@given(data=st.data(), command=st.sampled_from(READS))
def test_files_that_anybody_wrote_are_read(place: Place, data: st.DataObject, command: list[str]) -> None:
    path = data.draw(st.sampled_from(place.kinds()))
    file = place.repo.root / path
    was = file.read_bytes()
    try:
        file.write_bytes(data.draw(contents(was)))
        tried_on(place, command, writes=False)
    finally:
        file.write_bytes(was)


@pytest.mark.parametrize("command", WRITES, ids=lambda command: command[0])
@tried(2)
@given(data=st.data())
def test_files_that_anybody_wrote_lead_nowhere_else(
    place: Place, command: list[str], data: st.DataObject
) -> None:
    path = data.draw(st.sampled_from([name for name in place.kinds() if not name.endswith(".md")]))
    place.repo.write(path, data.draw(contents((place.repo.root / path).read_bytes())))
    try:
        tried_on(place, command, writes=True)
    finally:
        place.repo.git("checkout", "-q", "--", ".")
        place.repo.git("clean", "-q", "-d", "-f")


LINKS = ("fleet.yaml", "clusters", "clusters/eu-1.yaml", "specs/chat/canary.yaml", "specs/chat/system.md", "overlays", "overlays/chat",
         "overlays/chat/promotion.yaml", "overlays/chat/candidate.yaml", "overlays/chat/clusters/eu-1", "argocd", ".git/x")  # fmt: skip


@pytest.mark.parametrize("path", LINKS)
def test_links_are_not_followed(changed: Place, path: str) -> None:
    """Neither to a file with a secret, nor to a folder that would be written to."""
    root = changed.repo.root
    at = root / path
    shutil.rmtree(at) if at.is_dir() else at.unlink(missing_ok=True)
    at.parent.mkdir(parents=True, exist_ok=True)
    at.symlink_to(changed.folder / "else" / ("kept" if "." in path.rpartition("/")[2] else ""))
    others = changed.elsewhere()
    for command in (["render"], ["status"], ["hold", "chat", "--why", "x", "--by", "ann"]):
        ends(*command, "--root", str(root))
        assert changed.elsewhere() == others
    at.unlink(missing_ok=True)


ODD = ("a\nb", "\x1b[31m", "a" * 200, "-x", "..x", "\u202e", "a b", "\udcff", "%s", ".git")


def test_folders_of_any_names(changed: Place) -> None:
    for name in ODD:
        for path in (
            f"overlays/{name}/clusters/{name}/kustomization.yaml", f"overlays/chat/releases/{name}/release.yaml",
            f"specs/{name}/canary.yaml", f"clusters/{name}.yaml", f"overlays/chat/clusters/{name}/kustomization.yaml",
        ):  # fmt: skip
            changed.repo.write(path, "- ../../releases/x\n")
    for command in READS:
        tried_on(changed, command, writes=False)


# The plugin

ENVIRONMENT = {
    "ARGOCD_APP_PARAMETERS": json.dumps([{"name": "app", "string": "chat"}, {"name": "cluster", "string": "eu-1"}]),
    "ARGOCD_ENV_APP": "chat", "ARGOCD_ENV_CLUSTER": "eu-1", "ARGOCD_APP_NAME": "chat-eu-1",
}  # fmt: skip


@tried(25)
@given(data=st.data(), action=st.sampled_from(["generate", "generate", "parameters", "plugin"]))
@example(data=None, action="generate")
def test_any_environment_of_the_plugin(place: Place, data: Any, action: str) -> None:
    """Argo CD takes exit 0 without objects for an app that has none any more, and prunes it."""
    told = dict(ENVIRONMENT) if data is None else data.draw(altered(ENVIRONMENT, most=2))
    if data is not None and data.draw(st.booleans()):
        parameters = json.loads(ENVIRONMENT["ARGOCD_APP_PARAMETERS"])
        told = {"ARGOCD_APP_PARAMETERS": data.draw(altered(parameters).map(json.dumps))}
    before, folder = dict(os.environ), os.getcwd()
    where = (
        "overlays/chat"
        if data is None
        else data.draw(st.sampled_from([".", "overlays/chat", "overlays/chat/clusters/eu-1", "specs"]))
    )
    try:
        os.environ.update(
            {
                name: value
                for name, value in told.items()
                if isinstance(value, str) and name and "\0" not in name + value and "=" not in name
            }
        )
        os.chdir(place.repo.root / where)
        result = ends("cmp", action, codes=(0, 1))
    finally:
        os.chdir(folder)
        os.environ.clear()
        os.environ.update(before)
    assert (result.code == 0) == bool(result.out)
    if result.code == 0 and action == "generate":
        assert {item["kind"] for item in parse_stream(result.out.encode(), "out")} >= {"Rollout"}


# The event of a workflow

EVENT: Any = {"pull_request": {"number": 7, "base": {"ref": "main", "sha": "0" * 40, "repo": {"full_name": "acme/fleet"}},
                               "head": {"ref": "x", "sha": "1" * 40, "repo": None}, "title": "x", "body": None}}  # fmt: skip


@tried(25)
@given(written=data_of(EVENT))
def test_any_event_of_a_workflow(tmp_path_factory: pytest.TempPathFactory, written: bytes) -> None:
    file = tmp_path_factory.getbasetemp() / "event.json"
    file.write_bytes(written)
    try:
        found = actions.step(
            {"GITHUB_ACTIONS": "true", "GITHUB_REPOSITORY": "acme/fleet", "GITHUB_EVENT_PATH": str(file)}
        )
    except UsageError:
        return
    assert found.pull is None or found.pull.fork or b"acme/fleet" in written

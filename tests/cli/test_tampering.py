"""Every generated file, edited in every way: `render --check` finds it, and nothing else falls over."""

from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from driver import SPEC, Repo

from canaryfleet.digest import sha256

EDITS: dict[str, Callable[[bytes], bytes]] = {
    "a comment at the end": lambda data: data + b"# checked by ann\n",
    "a field at the end": lambda data: data + b"more: 1\n",
    "another document": lambda data: data + b"---\na: 1\n",
    "empty": lambda data: b"",
    "an empty mapping": lambda data: b"{}\n",
    "a list": lambda data: b"- 1\n",
    "text": lambda data: b"text\n",
    "no YAML": lambda data: b"{",
    "no text": lambda data: b"\xff\xfe",
    "Windows line ends": lambda data: data.replace(b"\n", b"\r\n"),
    "the first name changed": lambda data: data.replace(b"name: chat", b"name: chut", 1) + b"\n",
    "the last line lost": lambda data: data[: data.rstrip(b"\n").rindex(b"\n") + 1],
}
REST = [["lint"], ["build", "chat", "eu-1"], ["point", "chat", "--wave", "rest"], ["render"]]


@pytest.fixture
def committed(repo: Repo) -> Repo:
    """A rendered repository on its default branch."""
    return repo.rendered().committed()


@pytest.mark.parametrize("edit", EDITS)
def test_an_edited_file_is_found(committed: Repo, edit: str) -> None:
    assert committed.run("render", "--check").code == 0
    for path in committed.generated():
        old = (committed.root / path).read_bytes()
        committed.write(path, EDITS[edit](old))
        result = committed.refused("render", "--check")
        assert path in {finding.file for finding in result.findings}, (path, result.err)
        assert committed.run("build", "chat", "eu-1").code in (0, 1), path
        committed.write(path, old)


def test_a_removed_file_is_found(committed: Repo) -> None:
    for path in committed.generated():
        old = (committed.root / path).read_bytes()
        (committed.root / path).unlink()
        result = committed.refused("render", "--check")
        home = path.rsplit("/", 1)[0]
        assert path.endswith("candidate.yaml") or home in result.err, (path, result.err)
        committed.write(path, old)


@pytest.mark.parametrize(
    "path",
    [
        "overlays/README.md",
        "overlays/chat/README.md",
        "overlays/chat/clusters/README.md",
        "overlays/chat/clusters/eu-1/extra.yaml",
        "overlays/chat/config/README.md",
        "overlays/chat/config/chat-prompts-000000000000/config.yaml",
        "overlays/chat/releases/README.md",
        "overlays/chat/releases/9.9.9-000000000000/release.yaml",
        "overlays/chat/releases/RELEASE/extra.yaml",
        "overlays/chat/releases/RELEASE/waves/x/bake.yaml",
        "overlays/other/clusters/eu-1/kustomization.yaml",
    ],
)
def test_a_file_of_nobody_is_found(committed: Repo, path: str) -> None:
    release = next((committed.root / "overlays/chat/releases").iterdir()).name
    committed.write(path.replace("RELEASE", release), "a: 1\n")
    committed.refused("render", "--check")


def _resum(home: Path) -> None:
    """Write the sums of a release anew, as somebody would who knows how."""
    data = yaml.safe_load((home / "release.yaml").read_text())
    data["files"] = {path: sha256((home / path).read_bytes()) for path in data["files"]}
    (home / "release.yaml").write_text(yaml.safe_dump(data))


def test_a_release_rewritten_with_its_sums(committed: Repo) -> None:
    home = next((committed.root / "overlays/chat/releases").iterdir())
    rollout = home / "rollout.yaml"
    rollout.write_text(rollout.read_text().replace("setWeight: 10", "setWeight: 99"))
    _resum(home)
    result = committed.refused("render", "--check")
    found = {finding.file.rsplit("/", 1)[-1] for finding in result.findings}
    assert found == {"release.yaml", "rollout.yaml"}
    assert result.codes == {"CF169"}


def test_a_new_release_rewritten_with_its_sums(committed: Repo) -> None:
    """Not on the default branch yet, so only its inputs can tell what it should be."""
    committed.write("specs/chat/canary.yaml", SPEC.replace("version: 1.0.0", "version: 1.1.0"))
    assert committed.run("render").code == 0
    assert committed.run("render", "--check").code == 0
    home = next((committed.root / "overlays/chat/releases").glob("1.1.0-*"))
    rollout = home / "rollout.yaml"
    rollout.write_text(rollout.read_text().replace("setWeight: 10", "setWeight: 99"))
    _resum(home)
    result = committed.refused("render", "--check")
    line = rollout.read_text().splitlines().index("      - setWeight: 99") + 1
    assert ("CF169", f"{home.relative_to(committed.root)}/rollout.yaml", line) in {
        (finding.code, finding.file, finding.line) for finding in result.findings
    }
    assert committed.run("render").code == 0
    assert committed.run("render", "--check").code == 0


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("value: 1\n", "value: 2\n"),
        ("value: 1\n", 'value: "1"\n'),
        ("value: 1\n", "value: {a: 1}\n"),
        ("value: 1\n", "value: [1]\n"),
        ("value: 1\n", "value: null\n"),
        ("chat.eu.acme.example", "evil.example"),
        ("- chat.inference.svc.cluster.local\n", "- {a: 1}\n"),
        ("      - mesh\n", ""),
        ("name: chat\nresources:", "name: chat\n  annotations: {a: b}\nresources:"),
        ("resources:\n", "resources:\n- .\n"),
        ("resources:\n", "resources:\n- 1\n"),
        ("resources:\n", "resources:\n- /etc\n"),
        ("resources:\n", "resources:\n- https://evil.example/x\n"),
        ("- ../../releases/", "- ../../../chat/releases/"),
        ("patches:\n", 'namePrefix: "x-"\npatches:\n'),
        ("patches:\n", "patches:\n- 1\n"),
        ("patches:\n", "patches:\n- {patch: '[]', target: {kind: Rollout}}\n"),
        ("patches:\n", "components: [../..]\npatches:\n"),
        ("op: add\n      path: /spec/replicas", "op: remove\n      path: /spec/replicas"),
        ("path: /spec/replicas", "path: /spec/paused"),
        ("path: /spec/replicas", "path: spec"),
        ("# Made by", "# made by"),
    ],
)
def test_an_edited_overlay(committed: Repo, old: str, new: str) -> None:
    path = "overlays/chat/clusters/eu-1/kustomization.yaml"
    before = (committed.root / path).read_text()
    assert old in before
    committed.write(path, before.replace(old, new, 1))
    result = committed.refused("render", "--check")
    found = [finding for finding in result.findings if finding.file == path]
    assert found[0].code in ("CF164", "CF167", "CF171"), result.err
    first = next(
        number
        for number, (one, other) in enumerate(
            zip(before.splitlines(), before.replace(old, new, 1).splitlines(), strict=False), 1
        )
        if one != other
    )
    assert found[0].line == first or found[0].code == "CF164", result.err
    for command in REST:
        assert committed.run(*command).code in (0, 1), command


@pytest.mark.parametrize("target", ["release", "fallback"])
def test_a_pointer_to_nothing(committed: Repo, target: str) -> None:
    path = "overlays/chat/clusters/eu-1/kustomization.yaml"
    if target == "release":
        text = (committed.root / path).read_text()
        release = next((committed.root / "overlays/chat/releases").iterdir()).name
        committed.write(path, text.replace(release, "2.0.0-000000000000"))
    else:
        committed.replace(
            path, "  name: chat\nresources:",
            "  name: chat\n  annotations:\n    canaryfleet.dev/fallback: 2.0.0-000000000000\nresources:",
        )  # fmt: skip
    for command in (["render", "--check"], ["render"], ["point", "chat", "--wave", "rest"]):
        result = committed.refused(*command)
        assert result.codes == {"CF165"}
        assert result.findings[0].file == path


def test_a_cluster_that_vanished(committed: Repo) -> None:
    (committed.root / "clusters/eu-2.yaml").unlink()
    for command in (["render", "--check"], ["render"]):
        result = committed.refused(*command)
        assert ("CF166", "overlays/chat/clusters/eu-2/kustomization.yaml") in {
            (finding.code, finding.file) for finding in result.findings
        }


def test_everything_wrong_is_said_at_once(committed: Repo) -> None:
    """Spec, cluster, fleet, promotion, candidate, release, configuration and overlay, in one run."""
    committed.replace("specs/chat/canary.yaml", "  port: 8000\n", "  prot: 8000\n  port: 8000\n")
    committed.write("specs/other/canary.yaml", "a: [\n")
    committed.write("clusters/eu-2.yaml", "{")
    committed.replace("fleet.yaml", "{name: acme}", "{nmae: acme}")
    committed.write("overlays/chat/promotion.yaml", "bars: 1\n")
    result = committed.refused("lint")
    assert {finding.file for finding in result.findings} == {
        "specs/chat/canary.yaml",
        "specs/other/canary.yaml",
        "clusters/eu-2.yaml",
        "fleet.yaml",
        "overlays/chat/promotion.yaml",
    }
    committed.git("checkout", "-q", "--", ".")
    committed.write("overlays/chat/candidate.yaml", "{")
    for name in (
        "releases/9.9.9-000000000000/release",
        "config/x/kustomization",
        "clusters/eu-1/kustomization",
    ):
        committed.write(f"overlays/chat/{name}.yaml", "{")
    result = committed.refused("render", "--check")
    assert {finding.file.removeprefix("overlays/chat/") for finding in result.findings} >= {
        "candidate.yaml",
        "releases/9.9.9-000000000000/release.yaml",
        "config/x/kustomization.yaml",
        "clusters/eu-1/kustomization.yaml",
    }


@pytest.mark.parametrize(
    "since", ["2026-02-30T00:00:00Z", "2026-11-16T25:00:00Z", "2026-11-16T10:00:00+99:00"]
)
def test_dates_that_no_calendar_has(committed: Repo, since: str) -> None:
    """They hold everything: nothing moves on a promotion.yaml that can't be read."""
    entry = f'{{workload: x, by: ann, since: "{since}", why: y}}'
    head = "apiVersion: canaryfleet.dev/v1alpha1\nkind: Promotion\nmetadata: {name: chat}\n"
    committed.write("overlays/chat/promotion.yaml", f"{head}bars: [{entry}]\n")
    for command in (["lint"], ["point", "chat", "--wave", "rest", "--verified", "all"]):
        result = committed.refused(*command)
        assert (result.findings[0].file, result.findings[0].line) == ("overlays/chat/promotion.yaml", 4)


WHO = 'by: ann, since: "2026-11-16T10:00:00Z", why: x'


@pytest.mark.parametrize(
    ("entries", "column", "code", "said"),
    [
        ("holds: [{wave: rets, %s}]", 16, "CF189", "there is no wave rets (did you mean rest?)"),
        ("holds: [{cluster: eu-22, %s}]", 19, "CF189", "there is no cluster eu-22 (did you mean eu-2?)"),
        ("bars: [{release: VERSION, %s}]", 18, "CF189", "VERSION is no id of a release, so it bars nothing (did you mean `release: ID`?)"),
        ("bars: [{release: ID-x, %s}]", 18, "CF189", "ID-x is no id of a release, so it bars nothing (did you mean ID?)"),
        ("bars: [{release: NEAR, %s}]", 18, "CF189", "there is no release NEAR, so it bars nothing (did you mean ID?)"),
        ("bars: [{workload: ID, %s}]", 19, "CF189", "ID is no digest of a workload, so it bars nothing (did you mean `release: ID`?)"),
    ],
)  # fmt: skip
def test_what_a_promotion_names_is_there(
    committed: Repo, entries: str, column: int, code: str, said: str
) -> None:
    """A hold, bar or excuse about nothing would stop nothing, and look as if it did."""
    (id,) = (path.name for path in (committed.root / "overlays/chat/releases").iterdir())
    near = id[:-1] + ("0" if id[-1] != "0" else "1")
    for word, meant in (("VERSION", id.rpartition("-")[0]), ("ID", id), ("NEAR", near)):
        entries, said = entries.replace(word, meant), said.replace(word, meant)
    head = "apiVersion: canaryfleet.dev/v1alpha1\nkind: Promotion\nmetadata: {name: chat}\n"
    committed.write("overlays/chat/promotion.yaml", head + entries % WHO + "\n")
    for command in (["lint"], ["render", "--check"], ["point", "chat", "--wave", "rest"]):
        (found,) = committed.refused(*command).findings
        assert found.text.startswith(f"overlays/chat/promotion.yaml:4:{column}: error {code}: {said}")


def test_an_excuse_of_nobody_stops_nothing_and_is_a_warning(committed: Repo) -> None:
    head = "apiVersion: canaryfleet.dev/v1alpha1\nkind: Promotion\nmetadata: {name: chat}\n"
    committed.write("overlays/chat/promotion.yaml", f"{head}excused: [{{cluster: us-9, {WHO}}}]\n")
    (found,) = committed.run("lint").findings
    said = "warning CF189: there is no cluster us-9 (known: eu-1, eu-2)"
    assert found.text == f"overlays/chat/promotion.yaml:4:21: {said}"
    over = "by: ann, since: '2020-01-01T00:00:00Z', until: '2020-01-02T00:00:00Z', why: x"
    committed.write("overlays/chat/promotion.yaml", f"{head}holds: [{{wave: gone, {over}}}]\n")
    assert committed.run("lint").findings == []


def test_what_is_there_or_was_there_may_be_named(committed: Repo) -> None:
    """A release that was pruned is known to nobody, and its bar stays; the bot names what there was."""
    (id,) = (path.name for path in (committed.root / "overlays/chat/releases").iterdir())
    head = "apiVersion: canaryfleet.dev/v1alpha1\nkind: Promotion\nmetadata: {name: chat}\n"
    bars = [f"{{release: {name}, {WHO}}}" for name in (id, "0.1.0-0123456789ab")]
    bars += [f"{{workload: {name}, {WHO}}}" for name in ('"' + "0123456789" * 2 + '"',)]
    bars += [f"{{workload: gone, {WHO}}}".replace("by: ann", "by: canaryfleet")]
    holds = [f"{{wave: rest, {WHO}}}", f"{{cluster: eu-1, {WHO}}}", f"{{{WHO}}}"]
    text = (
        f"{head}bars: [{', '.join(bars)}]\nholds: [{', '.join(holds)}]\nexcused: [{{cluster: eu-1, {WHO}}}]\n"
    )
    committed.write("overlays/chat/promotion.yaml", text)
    assert committed.run("lint").code == 0


@pytest.mark.parametrize("name", ["promotion.yml", "Promotion.yaml", "promotions.yaml", "promotion"])
def test_a_promotion_that_is_named_otherwise_is_found(committed: Repo, name: str) -> None:
    committed.write(f"overlays/chat/{name}", "holds: []\n")
    (found,) = committed.refused("lint").findings
    assert (found.file, found.code) == (f"overlays/chat/{name}", "CF017")
    assert "(name it promotion.yaml)" in found.text


def test_what_editors_leave_behind_is_no_promotion(committed: Repo) -> None:
    committed.write("overlays/chat/.promotion.yaml.swp", "x\n")
    assert committed.run("lint").code == 0


def test_a_promotion_of_another_app_is_found(committed: Repo) -> None:
    text = "apiVersion: canaryfleet.dev/v1alpha1\nkind: Promotion\nmetadata: {name: chut}\n"
    committed.write("overlays/chat/promotion.yaml", text)
    (found,) = committed.refused("lint").findings
    assert found.text.startswith("overlays/chat/promotion.yaml:3:18: error CF017")

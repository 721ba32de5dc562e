"""`canaryfleet review` on repositories in folders, by hand and as a step of GitHub Actions against a forge on loopback."""

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import jsonschema
import pytest
from test_diff import APP, Repo

from canaryfleet import cli, schema
from canaryfleet.forges import rest
from fake_forge import ACTIONS, REPOSITORY, TOKEN, FakeForge, instead, lost
from forges import Ground

MARK = "<!-- canaryfleet review . -->"
IDEA = "idea"
Run = Callable[..., str]


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository whose app runs everywhere, as main and as origin's main, and a branch that is checked out."""
    root = tmp_path_factory.mktemp("template") / "repo"
    root.mkdir()
    repo = Repo(root)
    repo.git("update-ref", "refs/remotes/origin/main", "main")
    repo.git("checkout", "-q", "-b", IDEA)
    return root


@pytest.fixture
def made(template: Path, tmp_path: Path) -> Repo:
    """A repository of the test's own."""
    return Repo.copied(template, tmp_path / "repo")


@pytest.fixture
def run(made: Repo, capsys: pytest.CaptureFixture[str]) -> Run:
    """What a review of the repository prints, and that it ends as it should; what it says on stderr is kept in `err`."""

    def run(*words: str, code: int = 0, err: list[str] | None = None) -> str:
        capsys.readouterr()
        ended = cli.main(["review", "--root", str(made.root), "--runs", "3", *words])
        said = capsys.readouterr()
        assert ended == code, said
        if err is not None:
            err.append(said.err)
        return said.out

    return run


def states(run: Run, *words: str, code: int = 0) -> dict[str, str]:
    """How each check ended, from JSON that its schema describes."""
    found = json.loads(run("--output", "json", *words, code=code))
    jsonschema.validate(found, schema.schema_of(schema.FILES["review"]))
    assert found["passed"] == (code == 0)
    return {item["name"]: item["state"] for item in found["checks"]}


def rendered(repo: Repo) -> str:
    """The change of the spec rendered and committed."""
    assert cli.main(["render", "--root", str(repo.root)]) == 0
    return repo.commit()


# By hand


def test_where_nothing_changes_nothing_is_wrong(run: Run) -> None:
    told = dict.fromkeys(("difference", "plan", "forecast"), "told")
    assert states(run) == {"lint": "warned", "render": "passed", **told, "limits": "passed"}
    assert run().startswith("nothing is wrong: ")


def test_a_release_says_what_it_does_where_and_how(made: Repo, run: Run) -> None:
    made.prompt("Be brief.\n@octocat </details>\n")
    made.change()
    rendered(made)
    said = run("--output", "markdown", "--at", "2026-11-20T10:00:00Z")
    release = made.know().frozen[APP].release.id
    for part in (
        f"becomes {release}",
        "@octocat </details>",
        "first  c01",
        "STOPPED THERE",
        "| limits | **passed**",
    ):
        assert part in said
    assert said.count("@octocat") == 1  # in a fence alone
    assert "canaryfleet: nothing is wrong" in said


def test_what_is_not_rendered_fails(made: Repo, run: Run) -> None:
    made.change()
    made.commit()
    assert states(run, code=1)["render"] == "failed"
    assert "which is not rendered" in run(code=1)


def test_of_a_spec_with_errors_nobody_claims_that_it_is_rendered(made: Repo, run: Run) -> None:
    made.data["exposure"]["steps"] = [{"weight": "200%"}]
    made.write()
    made.commit()
    found = states(run, code=1)
    assert (found["lint"], found["render"]) == ("failed", "notMade")
    assert "passed" not in {found[name] for name in ("render", "difference", "plan", "forecast")}


def test_a_repository_that_cant_be_read_fails(made: Repo, run: Run) -> None:
    (made.root / "fleet.yaml").write_text("a: [\n")
    found = states(run, "--base", "main", code=1)
    assert found["lint"] == "failed"
    assert found["render"] == "notMade"


def test_without_history_there_is_no_review(made: Repo, run: Run, tmp_path: Path) -> None:
    """A shallow checkout, as actions/checkout makes it unless it is told otherwise."""
    made.git("clone", "-q", "--depth", "1", f"file://{made.root}", str(tmp_path / "shallow"))
    made.root = tmp_path / "shallow"
    err: list[str] = []
    assert run("--root", str(made.root), "--base", "HEAD~1", code=1, err=err) == ""
    assert "fetch" in err[0]


def test_a_frozen_release_that_is_rewritten_breaks_a_limit(made: Repo, run: Run) -> None:
    """Also where the change calls its own branch the default one."""
    path = next((made.root / "overlays" / APP / "releases").iterdir()) / "release.yaml"
    path.write_text(path.read_text() + "# more\n")
    fleet = made.root / "fleet.yaml"
    fleet.write_text(fleet.read_text() + f"defaultBranch: {IDEA}\n")
    made.commit()
    found = states(run, "--base", "main", code=1)
    assert (found["render"], found["limits"]) == ("failed", "failed")
    assert "rewritten: " in run("--base", "main", code=1)


def test_what_is_not_committed_is_not_judged_by_its_limits(made: Repo, run: Run) -> None:
    path = next((made.root / "overlays" / APP / "releases").iterdir()) / "release.yaml"
    path.write_text(path.read_text() + "# more\n")
    assert states(run, code=1)["limits"] == "notMade"


def test_a_move_is_left_to_those_who_see_the_clusters(made: Repo, run: Run) -> None:
    made.change()
    rendered(made)
    made.git("update-ref", "refs/remotes/origin/main", "HEAD")
    assert cli.main(["point", APP, "--wave", "first", "--root", str(made.root)]) == 0
    made.commit()
    assert states(run)["limits"] == "told"
    assert "canaryfleet/limits" in run()


def test_without_its_history_the_limits_are_not_claimed(made: Repo, run: Run, tmp_path: Path) -> None:
    (made.root / "overlays" / APP / "promotion.yaml").write_text("nonsense: 1\n")
    made.commit()
    made.git(
        "clone", "-q", "--depth", "2", "--no-single-branch", f"file://{made.root}", str(tmp_path / "shallow")
    )
    found = json.loads(
        run("--root", str(tmp_path / "shallow"), "--base", "HEAD~1", "--output", "json", code=1)
    )
    (limits,) = [item for item in found["checks"] if item["name"] == "limits"]
    assert limits["state"] in ("notMade", "failed")


def test_a_file_gets_all_of_it_and_sarif_the_findings(made: Repo, run: Run, tmp_path: Path) -> None:
    made.change()
    made.commit()
    run("--to", str(tmp_path / "all.md"), "--sarif", str(tmp_path / "all.sarif"), code=1)
    assert "CF170" in (tmp_path / "all.md").read_text()
    results = json.loads((tmp_path / "all.sarif").read_text())["runs"][0]["results"]
    assert "CF170" in {item["ruleId"] for item in results}
    assert run("--to", str(tmp_path / "no" / "where"), code=2) == ""


@pytest.mark.parametrize(
    "words", [["--limit", "9"], ["--comment"], ["--commit"], ["--runs", "0"], ["--output", "github"]]
)
def test_what_makes_no_sense_is_wrong_usage(
    run: Run, words: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("GITHUB_ACTIONS", raising=False)
    assert run(*words, code=2) == ""


# In GitHub Actions


@pytest.fixture(scope="module")
def ground(tmp_path_factory: pytest.TempPathFactory) -> Ground:
    return Ground(tmp_path_factory.mktemp("ground"), branch=IDEA)


class Step:
    """A step of a job for pull request `number`, against a forge on loopback."""

    def __init__(self, repo: Repo, forge: FakeForge, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.repo, self.forge, self.folder, self.set = repo, forge, folder, monkeypatch.setenv
        pull = forge.ground.local.propose("ann", IDEA, "main", "An idea", "")
        self.number, self.fork = pull.number, False
        for name, value in {
            "GITHUB_ACTIONS": "true", "GITHUB_REPOSITORY": REPOSITORY, "GITHUB_RUN_ID": "7",
            "GITHUB_API_URL": forge.url, "GITHUB_TOKEN": TOKEN, "GITHUB_EVENT_NAME": "pull_request",
            "GITHUB_SERVER_URL": "https://github.example",
            "GITHUB_STEP_SUMMARY": str(folder / "summary"), "GITHUB_OUTPUT": str(folder / "output"),
        }.items():  # fmt: skip
            monkeypatch.setenv(name, value)
        monkeypatch.setattr(rest, "_APART", 0.0)  # seconds between writes

    def event(self, head: str | None = None) -> None:
        """The event of what is committed now."""
        pull = {
            "number": self.number,
            "base": {"ref": "main", "sha": self.repo.git("rev-parse", "main")},
            "head": {
                "ref": IDEA,
                "sha": head or self.repo.git("rev-parse", "HEAD"),
                "repo": {"full_name": "mallory/fleet" if self.fork else REPOSITORY},
            },
        }
        path = self.folder / "event.json"
        path.write_text(json.dumps({"pull_request": pull, "action": "synchronize"}))
        self.set("GITHUB_EVENT_PATH", str(path))

    @property
    def outputs(self) -> dict[str, str]:
        """What the step has set last."""
        return dict(line.split("=", 1) for line in (self.folder / "output").read_text().splitlines())

    @property
    def summary(self) -> str:
        """The page of the run."""
        return (self.folder / "summary").read_text()

    @property
    def comments(self) -> list[str]:
        """What we have said below the pull request."""
        return self.forge.ground.comments(self.number)


@pytest.fixture
def step(made: Repo, ground: Ground, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Step]:
    folder = tmp_path / "ground"
    folder.mkdir()
    with FakeForge(ground.copy(folder), "github") as forge:
        yield Step(made, forge, tmp_path, monkeypatch)


GITHUB = ("--output", "github", "--comment")


def test_a_pull_request_gets_annotations_a_summary_and_one_comment(made: Repo, run: Run, step: Step) -> None:
    made.change()
    made.commit()
    step.event()
    said = run(*GITHUB, code=1)
    assert "::error file=specs/chat/canary.yaml,line=" in said
    assert "something is wrong: " in said
    (comment,) = step.comments
    assert comment.startswith(MARK + "\n\n## canaryfleet: something is wrong")
    assert "CF170" in comment
    assert "CF170" in step.summary
    assert MARK not in step.summary
    assert step.outputs == {"result": "failed", "comment": "written", "report": "", "sarif": ""}


def test_a_comment_is_renewed_and_left_alone_when_it_is_the_same(made: Repo, run: Run, step: Step) -> None:
    step.event()
    at = ("--at", "2026-11-20T10:00:00Z")
    for wanted in ("written", "there already"):
        run(*GITHUB, *at)
        assert step.outputs["comment"] == wanted
    (made.root / "fleet.yaml").write_text((made.root / "fleet.yaml").read_text() + "paused: true\n")
    made.commit()
    step.event()
    run(*GITHUB, *at)
    assert step.outputs["comment"] == "renewed"
    (comment,) = step.comments
    assert "paused" in comment
    assert [word for word in step.forge.wrote() if "graphql" not in word] == [
        f"POST /api/v3/repos/{REPOSITORY}/issues/{step.number}/comments",
        f"PATCH /api/v3/repos/{REPOSITORY}/issues/comments/{step.number * 10_000}",
    ]


def test_comments_of_others_are_not_ours_whatever_they_begin_with(run: Run, step: Step) -> None:
    """And ours is found behind more of them than a page has; the token of Actions does not say whose it is."""
    step.event()
    step.forge.users_token = False
    for number in range(120):
        step.forge.ground.comment(step.number, "mallory", f"{MARK}\n\nall is fine {number}")
    for _ in range(2):
        run(*GITHUB)
    with step.forge.ground.local._locked():
        said = step.forge.ground.local._one(step.number).comments
    assert [each.by for each in said[120:]] == [ACTIONS]
    assert all(each.text.startswith(f"{MARK}\n\nall is fine") for each in said[:120])


@pytest.mark.parametrize("fork", [True, False])
def test_a_token_that_may_not_write_changes_nothing_but_where_it_is_said(
    made: Repo, run: Run, step: Step, fork: bool
) -> None:
    step.fork, step.forge.may_write = fork, False
    step.event()
    said = run(*GITHUB)
    assert step.comments == []
    assert step.outputs["comment"] == "not written"
    assert step.outputs["result"] == "passed"
    assert "::warning " in said
    assert "403" in step.summary
    assert ("fork" in step.summary) == fork
    made.change()
    made.commit()
    step.event()
    run(*GITHUB, code=1)
    assert step.outputs["result"] == "failed"


@pytest.mark.parametrize("status", [404, 410, 422, 500])
def test_whatever_the_forge_says_the_review_is_the_same(run: Run, step: Step, status: int) -> None:
    step.event()
    step.forge.fail("POST", "/comments$", instead(status, {"message": "no\n::error::x"}))
    said = run(*GITHUB)
    assert step.outputs["comment"] == "not written"
    assert "nothing is wrong" in step.summary
    assert "\n::error::x" not in said


def test_a_comment_whose_answer_was_lost_is_not_written_twice(run: Run, step: Step) -> None:
    step.event()
    step.forge.fail("POST", "/comments$", lost)
    run(*GITHUB)
    assert step.outputs["comment"] == "written"
    assert len(step.comments) == 1


def test_without_a_token_the_summary_has_it(run: Run, step: Step, monkeypatch: pytest.MonkeyPatch) -> None:
    step.event()
    monkeypatch.delenv("GITHUB_TOKEN")
    run(*GITHUB)
    assert step.outputs["comment"] == "not written"


def test_the_token_goes_where_the_runner_says_and_not_where_the_change_says(
    made: Repo, run: Run, step: Step
) -> None:
    fleet = made.root / "fleet.yaml"
    fleet.write_text(
        fleet.read_text() + "forge: {type: github, repository: mallory/trap, url: http://127.0.0.1:9}\n"
    )
    made.commit()
    step.event()
    run(*GITHUB)
    assert step.outputs["comment"] == "written"


def test_a_huge_difference_is_cut_and_the_file_has_it_all(
    made: Repo, run: Run, step: Step, tmp_path: Path
) -> None:
    made.data["workload"]["env"] |= {f"V{number}": f"@octocat {'x' * 150}" for number in range(2000)}
    made.change()
    rendered(made)
    step.event()
    run(*GITHUB, "--to", str(tmp_path / "all.md"))
    (comment,) = step.comments
    assert 50_000 < len(comment) <= 58_000
    assert comment.count("```") % 2 == 0
    assert "[in the run](https://github.example/acme/fleet/actions/runs/7)" in comment
    for part in ("| lint |", "first  c01", "STOPPED THERE"):
        assert part in comment
    assert len(step.summary.encode()) <= 1 << 20
    assert "V1999" in (tmp_path / "all.md").read_text()
    assert step.outputs["report"] == str(tmp_path / "all.md")


def test_what_is_no_pull_request_has_a_summary(run: Run, step: Step, tmp_path: Path) -> None:
    (tmp_path / "push.json").write_text('{"ref": "refs/heads/main"}')
    step.set("GITHUB_EVENT_PATH", str(tmp_path / "push.json"))
    step.set("GITHUB_EVENT_NAME", "push")
    run(*GITHUB)
    assert step.comments == []
    assert step.outputs["comment"].startswith("none")


def test_what_a_push_is_compared_with_is_not_what_its_own_fleet_yaml_names(
    made: Repo, run: Run, step: Step, tmp_path: Path
) -> None:
    """It would be compared with itself, and nothing in it would be another."""
    path = next((made.root / "overlays" / APP / "releases").iterdir()) / "release.yaml"
    path.write_text(path.read_text() + "# more\n")
    fleet = made.root / "fleet.yaml"
    fleet.write_text(fleet.read_text() + f"defaultBranch: {IDEA}\n")
    made.commit()
    (tmp_path / "push.json").write_text('{"repository": {"default_branch": "main"}}')
    step.set("GITHUB_EVENT_PATH", str(tmp_path / "push.json"))
    step.set("GITHUB_EVENT_NAME", "push")
    run(*GITHUB, code=1)
    assert "| limits | **failed**" in step.summary


@pytest.mark.parametrize("name", ["GITHUB_OUTPUT", "GITHUB_STEP_SUMMARY"])
def test_a_file_of_the_runner_that_cant_be_written_is_named(run: Run, step: Step, name: str) -> None:
    step.event()
    step.set(name, "/no/where")
    err: list[str] = []
    run(*GITHUB, code=2, err=err)
    assert "/no/where" in err[0]


def test_another_checkout_than_the_pull_request_is_refused(made: Repo, run: Run, step: Step) -> None:
    """It would pass, and say nothing about what is merged."""
    made.change()
    head = made.commit()
    made.git("checkout", "-q", "main")
    step.event(head)
    err: list[str] = []
    run(*GITHUB, code=1, err=err)
    assert "CF036" in err[0]
    assert step.outputs == {"result": "failed"}
    step.event("d" * 40)  # not even in the clone
    run(*GITHUB, code=1, err=err)
    assert "CF036" in err[1]
    assert step.comments == []


def test_a_shallow_checkout_of_a_pull_request_is_said_beside_it(
    run: Run, step: Step, made: Repo, tmp_path: Path
) -> None:
    """As actions/checkout makes it unless it is told otherwise: without its base."""
    step.event()
    made.git("clone", "-q", "--depth", "1", f"file://{made.root}", str(tmp_path / "shallow"))
    said = run("--root", str(tmp_path / "shallow"), *GITHUB, code=1)
    assert said.startswith("::error ")
    assert "fetch-depth" in said
    assert step.outputs == {"result": "failed"}


def test_the_merge_of_a_pull_request_is_its_checkout(made: Repo, run: Run, step: Step) -> None:
    """As actions/checkout has it; what others merged meanwhile is not part of the change."""
    made.change()
    head = rendered(made)
    made.git("checkout", "-q", "main")
    (made.root / "fleet.yaml").write_text((made.root / "fleet.yaml").read_text() + "paused: true\n")
    made.commit()
    made.git("update-ref", "refs/remotes/origin/main", "main")
    made.git("checkout", "-q", "--detach", "main")
    made.git("merge", "-q", "--no-ff", "-m", "merge", head)
    step.event(head)
    found = json.loads(run("--output", "json"))
    assert [item["app"] for item in found["difference"]["apps"]] == [APP]
    assert not found["difference"].get("fleet")
    run(*GITHUB)
    assert "in force at once" not in step.comments[0]


def test_a_pull_request_whose_limits_nobody_can_judge_does_not_pass(
    made: Repo, run: Run, step: Step, tmp_path: Path
) -> None:
    """As of a checkout that is not deep enough, or of what its attributes make Git take for changed."""
    (made.root / "overlays" / APP / "promotion.yaml").write_text(
        f"apiVersion: canaryfleet.dev/v1alpha1\nkind: Promotion\nmetadata: {{name: {APP}}}\n"
    )
    made.commit()
    step.event()
    run(*GITHUB)
    assert step.outputs["result"] == "passed"
    made.git("clone", "-q", "--depth", "2", f"file://{made.root}", str(tmp_path / "shallow"))
    made.git("-C", str(tmp_path / "shallow"), "update-ref", "refs/remotes/origin/main", "HEAD~1")
    said = run("--root", str(tmp_path / "shallow"), *GITHUB, code=1)
    assert "not everything was checked" in said
    assert step.outputs["result"] == "failed"


@pytest.mark.parametrize("path", ["evil", f"{APP}/clusters/c01/more", f"{APP}/more"])
@pytest.mark.parametrize("mode", ["160000", "120000"])
def test_a_submodule_or_link_in_overlays_breaks_a_limit(made: Repo, run: Run, path: str, mode: str) -> None:
    """Argo CD checks submodules out, and an empty folder is all that is here."""
    target = "1" * 40
    if mode == "120000":
        target = made.git("rev-parse", "HEAD:fleet.yaml")
    made.git("update-index", "--add", "--cacheinfo", f"{mode},{target},overlays/{path}")
    made.git("commit", "-q", "-m", "a tool")
    made.git("reset", "-q", "--hard")
    assert states(run, code=1)["limits"] == "failed"
    assert f"no-file: overlays/{path} would be a link or a submodule" in run(code=1)


def test_where_secrets_are_it_is_not_run(run: Run, step: Step) -> None:
    step.event()
    step.set("GITHUB_EVENT_NAME", "pull_request_target")
    err: list[str] = []
    run(*GITHUB, code=1, err=err)
    assert "CF036" in err[0]


def test_text_of_others_is_no_command_of_the_runner(made: Repo, run: Run, step: Step) -> None:
    """A runner of GitHub looks for `##[` anywhere in a line, and at the beginning for `::`."""
    made.data["waves"] += [
        {"name": f"w{number}", "clusters": ["##[set-output name=result]passed"]} for number in range(15)
    ]  # more than are annotations
    made.write()
    made.commit()
    step.event()
    err: list[str] = []
    said = run(*GITHUB, code=1, err=err)
    assert "[set-output name=result]passed" in err[0]
    for line in [*said.splitlines(), *err[0].splitlines()]:
        assert line.startswith(("::error ", "::warning ")) or (
            "##[" not in line and not line.startswith("::")
        )


@pytest.mark.parametrize("word", ["##[add-matcher]evil.json", "##vso[task.setvariable x]1", "###[group]"])
def test_nor_is_it_one_in_json(made: Repo, run: Run, capsys: pytest.CaptureFixture[str], word: str) -> None:
    """The gate's workflow prints it in its log, beside secrets."""
    (made.root / "overlays" / APP / "promotion.yaml").write_text(f"'{word}': 1\n")
    made.commit()
    said = run("--output", "json", code=1)
    assert cli.main(["lint", "--root", str(made.root), "--output", "json"]) == 1
    for text in (said, capsys.readouterr().out):
        assert "##[" not in text and "##vso[" not in text  # noqa: PT018
        assert f"unknown field {word}" in json.dumps(json.loads(text))


# Commits


@pytest.fixture
def pushed(made: Repo, step: Step, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What is not rendered is the head of the pull request; git finds the forge's repository in a folder."""
    bare = tmp_path / "bare.git"
    made.change()
    made.commit()
    made.git("clone", "-q", "--bare", str(made.root), str(bare))
    home = tmp_path / "home"
    home.mkdir()
    address = step.forge.url.removesuffix("/api/v3")
    (home / ".gitconfig").write_text(f'[url "file://{bare}"]\n insteadOf = {address}/{REPOSITORY}.git\n')
    monkeypatch.setenv("HOME", str(home))
    step.event()
    return bare


COMMIT = (*GITHUB, "--commit")


def tip(made: Repo, bare: Path) -> str:
    return made.git("--git-dir", str(bare), "rev-parse", IDEA)


def test_what_is_not_rendered_is_rendered_on_the_branch(
    made: Repo, run: Run, step: Step, pushed: Path
) -> None:
    before = tip(made, pushed)
    run(*COMMIT)
    after = tip(made, pushed)
    assert made.git("rev-parse", "HEAD", f"{after}^") == f"{after}\n{before}"
    assert (
        made.git("log", "-1", "--format=%an: %s", after)
        == "canaryfleet render: Render the releases of the specs"
    )
    assert {path.split("/")[0] for path in made.git("diff", "--name-only", before, after).split()} == {
        "overlays"
    }
    assert step.outputs["result"] == "passed"
    step.event()
    run(*COMMIT)  # once more there is nothing to do
    assert tip(made, pushed) == after


@pytest.mark.parametrize("why", ["fork", "default", "merge", "bot", "moved", "refused"])
def test_where_it_may_not_commit_it_judges_what_is_there(
    made: Repo, run: Run, step: Step, pushed: Path, why: str
) -> None:
    """And not what it would have rendered."""
    if why == "fork":
        step.fork = True
    elif why == "merge":
        head = made.git("rev-parse", "HEAD")
        made.git("checkout", "-q", "--detach", "main")
        made.git("merge", "-q", "--no-ff", "-m", "merge", head)
    elif why == "moved":
        made.git("--git-dir", str(pushed), "update-ref", f"refs/heads/{IDEA}", "main")
    elif why == "refused":
        shutil.rmtree(pushed)
    step.event(made.git("rev-parse", IDEA))
    if why == "bot":
        made.git("--git-dir", str(pushed), "branch", "canaryfleet/chat/k1", IDEA)
        path = step.folder / "event.json"
        path.write_text(path.read_text().replace(f'"ref": "{IDEA}"', '"ref": "canaryfleet/chat/k1"'))
    if why == "default":  # a pull request of main into another branch
        path = step.folder / "event.json"
        told = {**json.loads(path.read_text()), "repository": {"default_branch": IDEA}}
        path.write_text(json.dumps(told))
    before = "" if why == "refused" else made.git("--git-dir", str(pushed), "for-each-ref")
    run(*COMMIT, code=1)
    assert step.outputs["result"] == "failed"
    assert "| render | **failed**" in step.summary
    assert "| forge | **warned**" in step.summary
    assert not before or made.git("--git-dir", str(pushed), "for-each-ref") == before
    assert made.git("status", "--porcelain") == ""

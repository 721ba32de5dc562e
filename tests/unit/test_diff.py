"""`canaryfleet diff` on repositories in folders, as people and a CI call it."""

import json
import shutil
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from canaryfleet import cli, schema
from canaryfleet.emit import emit
from canaryfleet.models.base import API_VERSION
from support import Project

APP = "chat"
DIGEST = "0123456789abcdef" * 4
HEAD = {"apiVersion": API_VERSION}
SPEC: dict[str, Any] = {
    **HEAD,
    "kind": "Canary",
    "metadata": {"name": APP, "namespace": "ai"},
    "version": "1.0.0",
    "workload": {
        "image": f"registry.example/chat:1.0.0@sha256:{DIGEST}",
        "port": 8080,
        "replicas": 3,
        "env": {"LOG_LEVEL": "info", "HF_TOKEN": "first-secret-value"},
        "prompts": ["system.md"],
    },
    "exposure": {
        "hosts": ["chat.$(cluster.domain)"],
        "gateways": ["istio-ingress/public"],
        "steps": [{"weight": "10%", "for": "10m"}],
    },
    "analysis": {
        "minimumSamples": 10,
        "metrics": [{"preset": "istio/error-rate", "promoteBelow": "1%", "rollbackAbove": "5%"}],
    },
    "waves": [{"name": "first", "clusters": ["c01"]}, {"name": "rest"}],
    "overrides": [{"clusters": ["c02"], "env": {"REGION": "eu"}}],
}


class Repo(Project):
    """A committed repository whose one app runs everywhere."""

    def __init__(self, root: Path, clusters: int = 4) -> None:
        super().__init__(root)
        self.git("init", "-q", "-b", "main")
        self.file(
            "fleet.yaml",
            {**HEAD, "kind": "Fleet", "metadata": {"name": "acme"}, "metrics": {"prometheus": "http://p"}},
        )
        for number in range(1, clusters + 1):
            self.cluster(f"c{number:02}")
        self.data: dict[str, Any] = json.loads(json.dumps(SPEC))
        self.prompt("Be brief.\n")
        self.write()
        self.render()
        self.point_everything(APP)
        self.commit()

    @classmethod
    def copied(cls, template: Path, root: Path) -> "Repo":
        """One that was made before, for a test of its own."""
        shutil.copytree(template, root)
        repo = cls.__new__(cls)
        Project.__init__(repo, root)
        repo.data = json.loads(json.dumps(SPEC))
        return repo

    def git(self, *words: str) -> str:
        who = ("-c", "user.name=ann", "-c", "user.email=ann@acme.example", "-c", "commit.gpgsign=false")
        done = subprocess.run(
            ["git", *who, *words], cwd=self.root, check=True, capture_output=True, text=True
        )
        return done.stdout.strip()

    def commit(self) -> str:
        self.git("add", "-A")
        self.git("commit", "-q", "-m", "so")
        return self.git("rev-parse", "HEAD")

    def file(self, path: str, data: Mapping[str, Any]) -> None:
        (self.root / path).parent.mkdir(parents=True, exist_ok=True)
        (self.root / path).write_text(emit(data))

    def cluster(self, name: str, **more: Any) -> None:
        head = {**HEAD, "kind": "Cluster", "metadata": {"name": name}}
        self.file(f"clusters/{name}.yaml", head | {"variables": {"domain": f"{name}.acme.example"}} | more)

    def write(self) -> None:
        self.file(f"specs/{APP}/canary.yaml", self.data)

    def prompt(self, text: str) -> None:
        (self.spec(APP)).mkdir(parents=True, exist_ok=True)
        (self.spec(APP) / "system.md").write_text(text)

    def change(self, version: str = "1.1.0") -> None:
        """Another image, and what else is in `data`."""
        self.data["version"] = version
        self.data["workload"]["image"] = f"registry.example/chat:{version}@sha256:{DIGEST}"
        self.write()


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Made once: rendering it takes the time of the tests."""
    root = tmp_path_factory.mktemp("template") / "repo"
    root.mkdir()
    Repo(root)
    return root


@pytest.fixture
def made(template: Path, tmp_path: Path) -> Repo:
    """A repository of the test's own."""
    return Repo.copied(template, tmp_path / "repo")


Run = Callable[..., str]


@pytest.fixture
def run(made: Repo, capsys: pytest.CaptureFixture[str]) -> Run:
    """What `diff` prints of the repository."""

    def run(*words: str, code: int = 0) -> str:
        capsys.readouterr()
        assert cli.main(["diff", "--root", str(made.root), *words]) == code
        said = capsys.readouterr()
        return said.out if code == 0 else said.err

    return run


def data(run: Run, *words: str) -> Any:
    """The same as JSON, which its schema describes."""
    found = json.loads(run("--output", "json", *words))
    jsonschema.validate(found, schema.schema_of(schema.FILES["diff"]))
    return found


def changed(group: Any) -> dict[str, Any]:
    """What happens by object and path."""
    return {
        f"{item['kind']} {item['name']}: {change['path']}": (change.get("old"), change.get("new"))
        for item in group["objects"]
        for change in item.get("changes", ())
    }


def test_where_nothing_is_another_it_says_so(made: Repo, run: Run) -> None:
    said = run().splitlines()
    assert said == [f"compared with {made.git('rev-parse', 'HEAD')[:12]}", "nothing is another"]
    assert data(run).get("apps", []) == []
    assert "Nothing is another" in run("--output", "markdown")


def test_as_text(made: Repo, run: Run) -> None:
    """All of it at once, as a person reads it."""
    made.data["workload"]["env"] |= {"HF_TOKEN": "second-secret-value", "LOG_LEVEL": "debug"}
    made.data["workload"]["replicas"] = 5
    made.prompt("Be brief.\nBe kind.\n")
    made.change()
    said = run()
    assert "secret-value" not in said
    release = made.know().frozen[APP].release.id
    now = made.pointers(APP)["c01"].release
    commit = made.git("rev-parse", "HEAD")[:12]
    expected = f"""\
compared with {commit}

chat: {now} becomes {release}: other pods, which go from wave to wave
  what it is made of
    file system.md: 96fb1c7f068c → e981063a312e
    spec.version: 1.0.0 → 1.1.0
    spec.workload.env.HF_TOKEN: •••• → •••• (another)
    spec.workload.env.LOG_LEVEL: info → debug
    spec.workload.image: registry.example/chat:1.0.0@sha256:{DIGEST} → registry.example/chat:1.1.0@sha256:{DIGEST}
  at once, on c01, c02, c03, c04 (rendered, it waits where a Rollout may be in the middle of a canary)
      Rollout chat
        spec.replicas: 3 → 5
  with the release, on c01, c02, c03, c04 (now {now})
      ConfigMap chat-prompts-…
        data[system.md]:
          @@
           Be brief.
          +Be kind.
      Rollout chat
        spec.template.spec.containers[chat].env[LOG_LEVEL].value: info → debug
        spec.template.spec.containers[chat].env[HF_TOKEN].value: •••• → •••• (another)
        spec.template.spec.containers[chat].image: registry.example/chat:1.0.0@sha256:{DIGEST} → registry.example/chat:1.1.0@sha256:{DIGEST}
"""
    assert said == expected


def test_it_makes_no_difference_whether_it_is_rendered(made: Repo, run: Run) -> None:
    made.data["analysis"]["metrics"][0]["rollbackAbove"] = "6%"
    made.change()
    before = data(run)
    made.render()
    assert data(run) == before


def test_policy_alone_is_told_from_other_pods(made: Repo, run: Run) -> None:
    made.data["analysis"]["metrics"][0]["rollbackAbove"] = "6%"
    made.data["waves"].insert(1, {"name": "second", "clusters": ["c03"]})
    made.write()
    (app,) = data(run)["apps"]
    assert app["release"]["effect"] == "policy"
    waves = {item["path"]: (item.get("old"), item.get("new")) for item in app["release"]["waves"]}
    assert waves["waves[rest].members"] == ("c03", None)
    assert "waves[second]" in waves
    paths = [path for group in app["byWaves"] for path in changed(group)]
    assert paths
    assert not [path for path in paths if "spec.template" in path]


def test_pods_of_one_cluster_by_an_override(made: Repo, run: Run) -> None:
    """The workload is the same; where an override changes the pods, they are others all the same."""
    made.data["overrides"][0]["env"]["REGION"] = "us"
    made.write()
    (app,) = data(run)["apps"]
    assert app["release"]["effect"] == "workload"
    (everybody, some) = app["byWaves"]
    assert "objects" not in everybody
    assert some["clusters"] == ["c02"]
    assert changed(some) == {
        "Rollout chat: spec.template.spec.containers[chat].env[REGION].value": ("eu", "us")
    }


def test_a_changed_inventory_reads_as_one(made: Repo, run: Run) -> None:
    for number in range(1, 5):
        name = f"c{number:02}"
        made.cluster(name, metrics={"prometheus": f"http://p.{name}.acme.example"})
    found = data(run)
    (app,) = found["apps"]
    assert "release" not in app
    (group,) = app["atOnce"]
    assert group["clusters"] == ["c01", "c02", "c03", "c04"]
    assert group["waits"]
    assert changed(group)["AnalysisTemplate …: spec.args[0].value"] == (
        "http://p",
        "http://p.$(cluster.domain)",
    )
    (changed_files,) = found["inventory"]
    assert changed_files["clusters"] == ["c01", "c02", "c03", "c04"]
    assert changed_files["changes"][0]["new"] == '{"prometheus": "http://p.$(cluster.domain)"}'


def test_hosts_with_variables_read_as_one_beside_a_cluster_that_differs(made: Repo, run: Run) -> None:
    made.data["exposure"]["hosts"] = ["talk.$(cluster.domain)"]
    made.data["overrides"].append({"clusters": ["c04"], "hosts": ["special.acme.example"]})
    made.write()
    (app,) = data(run)["apps"]
    groups = {tuple(group["clusters"]): changed(group) for group in app["atOnce"] if "objects" in group}
    assert groups == {
        ("c01", "c02", "c03"): {
            "VirtualService chat: spec.hosts[0]": ("chat.$(cluster.domain)", "talk.$(cluster.domain)")
        },
        ("c04",): {"VirtualService chat: spec.hosts[0]": ("chat.c04.acme.example", "special.acme.example")},
    }


def test_what_waited_before_is_not_of_this_change(made: Repo, run: Run) -> None:
    made.data["workload"]["replicas"] = 7
    made.write()
    made.commit()  # nobody has rendered it
    assert data(run).get("apps", []) == []
    made.render(("all",))
    (app,) = data(run)["apps"]
    (group,) = app["atOnce"]
    assert changed(group) == {"Rollout chat: spec.replicas": ("3", "7")}
    assert "waits" not in group


def test_a_moved_pointer_is_said_with_what_it_does_at_once(made: Repo, run: Run) -> None:
    made.change()
    made.render()
    made.data["workload"]["replicas"] = 7
    made.write()
    made.commit()  # this waits, and does not travel with a pointer
    made.point(APP, "first")
    (app,) = data(run)["apps"]
    assert "release" not in app
    (group,) = app["atOnce"]
    assert group["clusters"] == ["c01"]
    assert (group["from"][:5], group["to"][:5]) == ("1.0.0", "1.1.0")
    paths = changed(group)
    assert "Rollout chat: spec.template.spec.containers[chat].image" in paths
    assert paths["Overlay chat: fallback"][1].startswith("1.0.0")
    assert "Rollout chat: spec.replicas" not in paths


def test_a_release_that_has_room_for_other_settings(made: Repo, run: Run) -> None:
    made.data["workload"].pop("replicas")
    made.data["workload"]["autoscaler"] = {"min": 2, "max": 9, "cpu": "70%"}
    made.change()
    (app,) = data(run)["apps"]
    assert "atOnce" not in app
    (group,) = app["byWaves"]
    assert changed(group)["Rollout chat: spec.replicas"] == ("3", None)
    assert {"kind": "HorizontalPodAutoscaler", "what": "added"}.items() <= group["objects"][-1].items()


def test_settings_that_stand_in_no_manifest(made: Repo, run: Run) -> None:
    made.data["onNewRelease"] = "replace"
    made.data["waves"][1]["windows"] = [
        {"days": "Mon-Thu", "from": "09:00", "to": "16:00", "timezone": "Europe/Berlin"}
    ]
    made.write()
    (app,) = data(run)["apps"]
    assert set(app) == {"app", "settings"}
    assert [item["path"] for item in app["settings"]] == ["onNewRelease", "waves"]


def test_a_new_app_and_one_that_is_gone(made: Repo, run: Run) -> None:
    made.file("specs/other/canary.yaml", made.data | {"metadata": {"name": "other", "namespace": "ai"}})
    (made.root / "specs/other/system.md").write_text("x")
    (made.spec(APP) / "canary.yaml").unlink()
    (made.spec(APP) / "system.md").unlink()
    made.spec(APP).rmdir()
    (made.root / "overlays" / APP / "candidate.yaml").unlink()
    gone, new = data(run)["apps"]
    assert (gone["release"]["effect"], new["release"]["effect"]) == ("gone", "first")
    (group,) = new["byWaves"]
    assert {item["what"] for item in group["objects"]} == {"added"}
    assert "the spec is gone" in run(APP)


def test_only_some_apps_and_none_that_is_not_there(made: Repo, run: Run) -> None:
    made.change()
    assert len(data(run, APP)["apps"]) == 1
    assert "did you mean chat" in run("chta", code=1)


def test_the_branch_alone_is_compared_not_what_others_merged(made: Repo, run: Run) -> None:
    made.git("checkout", "-q", "-b", "mine")
    made.change("1.1.0")
    made.commit()
    made.git("checkout", "-q", "main")
    made.cluster("c01", capacity=9)
    made.commit()
    made.git("checkout", "-q", "mine")
    assert "inventory" not in data(run)
    assert "inventory" in data(run, "--from", "main")
    assert data(run, "--from", "HEAD").get("apps", []) == []


@pytest.mark.parametrize("revision", ["nothing", "--help", "main..mine", "main:fleet.yaml", "$(touch x)"])
def test_a_revision_that_is_none(run: Run, revision: str) -> None:
    assert "no commit of this repository" in run(f"--from={revision}", code=1)


def test_without_history_it_says_what_to_do(made: Repo, run: Run, tmp_path: Path) -> None:
    made.git("branch", "-m", "main", "trunk")
    assert "nothing is committed on the branch main" in run(code=1)


def test_before_anything_is_committed_everything_is_new(made: Repo, run: Run) -> None:
    shutil.rmtree(made.root / ".git")
    made.git("init", "-q", "-b", "main")
    found = data(run)
    assert found["from"] == ""
    assert [(item["what"], len(item["clusters"])) for item in found["inventory"]] == [("added", 4)]
    assert "compared with nothing: no commit is here yet" in run()


def test_what_was_committed_before_there_was_a_fleet_is_nothing(made: Repo, run: Run) -> None:
    now = made.git("rev-parse", "HEAD")
    empty = made.git("commit-tree", "-m", "x", made.git("hash-object", "-w", "-t", "tree", "/dev/null"))
    found = data(run, "--from", empty)
    assert "fleet" not in found
    assert [item["app"] for item in found["apps"]] == [APP]
    assert data(run, "--from", now).get("apps", []) == []


def test_wrong_specs_are_findings(made: Repo, run: Run) -> None:
    made.data["workload"]["replica"] = 3
    made.write()
    assert "specs/chat/canary.yaml" in run(code=1)


def test_it_changes_nothing(made: Repo, run: Run) -> None:
    made.change()
    before = made.git("status", "--porcelain")
    run()
    assert made.git("status", "--porcelain") == before
    assert len(made.git("worktree", "list").splitlines()) == 1


def test_markdown_keeps_its_limit_and_its_fences(made: Repo, run: Run) -> None:
    made.data["workload"]["env"] |= {f"VARIABLE_{number}": "x" * 100 for number in range(70)}
    made.prompt("```\n</details> @everybody #1\n" * 30)
    made.change()
    whole = run("--output", "markdown")
    for limit in (1000, 1500, 4000, 20_000):
        said = run("--output", "markdown", "--limit", str(limit))
        assert len(said) <= limit
        assert len(said) > limit / 3
        assert said.count("````") % 2 == 0
        assert "The rest of this" in said
    assert "The rest of this" not in whole
    outside = whole.split("````")[::2]
    assert not [part for part in outside if "@everybody" in part or "</details>" in part]


def test_a_secret_of_a_base_is_not_shown(made: Repo, run: Run) -> None:
    base = made.spec(APP) / "base"
    base.mkdir()
    deployment = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": APP},
        "spec": {
            "selector": {"matchLabels": {"app.kubernetes.io/name": APP}},
            "template": {
                "metadata": {"labels": {"app.kubernetes.io/name": APP}},
                "spec": {
                    "containers": [
                        {
                            "name": APP,
                            "image": f"registry.example/chat@sha256:{DIGEST}",
                            "args": [
                                "--api-key",
                                "hunter2hunter2",
                                "--db=postgres://ann:hunter2hunter2@db/x",
                            ],
                            "envFrom": [{"secretRef": {"name": "login"}}],
                        }
                    ]
                },
            },
        },
    }
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": APP},
        "spec": {"selector": {"app.kubernetes.io/name": APP}, "ports": [{"name": "http", "port": 8080}]},
    }
    secret = {
        "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "login"}, "stringData": {"user": "hunter2hunter2"},
    }  # fmt: skip
    for name, item in (("deployment", deployment), ("service", service), ("secret", secret)):
        made.file(f"specs/{APP}/base/{name}.yaml", item)
    names = ["deployment.yaml", "service.yaml", "secret.yaml"]
    kustomization = {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "resources": names,
    }
    made.file(f"specs/{APP}/base/kustomization.yaml", kustomization)
    made.data["workload"] = {"base": "base", "port": 8080, "replicas": 3}
    made.write()
    made.render()
    made.commit()
    secret["stringData"] = {"user": "correct-horse"}
    deployment["spec"]["template"]["spec"]["containers"][0]["args"][1] = "correct-horse"  # type: ignore[index]
    made.file(f"specs/{APP}/base/secret.yaml", secret)
    made.file(f"specs/{APP}/base/deployment.yaml", deployment)
    for words in ((), ("--output", "json"), ("--output", "markdown"), ("--from", "HEAD~1")):
        said = run(*words)
        assert "Secret" in said
        assert "hunter2" not in said
        assert "correct-horse" not in said

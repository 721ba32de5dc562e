"""What `render` tells Argo CD: as much as the fleet's objects need, and nothing that deletes."""

import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from canaryfleet import cli
from canaryfleet.errors import Problems
from support import Project, one

GOLDEN = Path(__file__).resolve().parents[1] / "golden"
APP = "chat"
CONTROLLER = {"header", "cookie", "mirror"}


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """The golden case, rendered and pointed."""
    made = Project(tmp_path)
    made.deployed(APP, GOLDEN / "shared", GOLDEN / "cases/argo-cd")
    return made


def load(project: Project, path: str) -> Any:
    return yaml.safe_load((project.root / "argocd" / path).read_text())


def check(project: Project, capsys: pytest.CaptureFixture[str]) -> str:
    """What `render --check` finds."""
    capsys.readouterr()
    cli.main(["render", "--check", "--root", str(project.root)])
    return capsys.readouterr().err


def kinds(project: Project) -> set[str]:
    """What the project allows."""
    return {item["kind"] for item in load(project, "project.yaml")["spec"]["namespaceResourceWhitelist"]}


def change(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def allowed(body: Any, kind: str, group: str, namespace: str, cluster: str) -> bool:
    """Whether a project lets an object be applied, as Argo CD decides it."""
    known = {(item["group"], item["kind"]) for item in body["namespaceResourceWhitelist"]}
    if not namespace:
        return (group, kind) in {(item["group"], item["kind"]) for item in body["clusterResourceWhitelist"]}
    return (group, kind) in known and {"name": cluster, "namespace": namespace} in body["destinations"]


def test_the_project_allows_what_every_cluster_has_and_no_more(project: Project) -> None:
    change(project.spec(APP) / "canary.yaml", "version: 1.0.0", "version: 1.1.0")
    change(project.spec(APP) / "canary.yaml", "sticky: {cookie: chat-session}", "sticky: {header: x-user}")
    project.render()
    project.point(APP, "all")
    body = load(project, "project.yaml")["spec"]
    used = set()
    for name, known in (("eu-1", "eu-1"), ("eu-2", "eu-2"), ("us-1", "in-cluster")):
        for item in project.built(APP, name):
            group = item["apiVersion"].rpartition("/")[0]
            assert allowed(body, item["kind"], group, item["metadata"].get("namespace", ""), known)
            used.add((group, item["kind"]))
    assert {(item["group"], item["kind"]) for item in body["namespaceResourceWhitelist"]} == used
    assert body["clusterResourceWhitelist"] == []
    assert body["sourceRepos"] == ["git@git.acme.example:acme/fleet.git"]
    assert "*" not in str(body)


def test_what_the_controller_writes_is_no_difference_and_all_else_is(project: Project) -> None:
    template = load(project, f"apps/{APP}.yaml")["spec"]["template"]["spec"]
    objects = project.built(APP, "eu-1")
    found = {item["kind"]: item for item in template["ignoreDifferences"]}
    assert set(found) == {"VirtualService", "DestinationRule"}
    for kind, item in found.items():
        assert one(objects, kind)["metadata"]["name"] == item["name"]
        assert one(objects, kind)["metadata"]["namespace"] == item["namespace"]
    weights, managed = found["VirtualService"]["jqPathExpressions"]
    assert weights == ".spec.http[]?.route[]?.weight"
    traffic = one(objects, "Rollout")["spec"]["strategy"]["canary"]["trafficRouting"]
    made = {route["name"] for route in traffic["managedRoutes"]}
    assert made == {"ai-chat-header"}
    assert all(f'.name == "{name}"' in managed for name in made)
    own = {route["name"] for route in one(objects, "VirtualService")["spec"]["http"]}
    assert not [name for name in own if f'"{name}"' in managed]
    # nothing in Git says what else the controller writes
    assert "selector" not in one(objects, "Service", "chat-stable")["spec"]


def test_nothing_deletes_because_a_file_went(project: Project) -> None:
    made = load(project, f"apps/{APP}.yaml")
    spec = made["spec"]
    assert spec["syncPolicy"] == {"applicationsSync": "create-update", "preserveResourcesOnDeletion": True}
    assert "finalizers" not in str(made)
    assert spec["template"]["spec"]["syncPolicy"]["automated"] == {"prune": True}  # not allowEmpty
    for path in ("project.yaml", f"apps/{APP}.yaml"):
        assert load(project, path)["metadata"]["annotations"] == {
            "argocd.argoproj.io/sync-options": "Prune=false,Delete=false"
        }


def test_no_option_that_would_freeze_routes_or_keep_a_rollback_waiting(project: Project) -> None:
    options = load(project, f"apps/{APP}.yaml")["spec"]["template"]["spec"]["syncPolicy"]["syncOptions"]
    assert options == ["ServerSideApply=true", "ApplyOutOfSyncOnly=true"]


def test_without_the_setting_nothing_is_written_and_nothing_is_missed(
    project: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.rmtree(project.root / "argocd")
    shutil.copy(GOLDEN / "shared/fleet.yaml", project.root)
    assert not [path for path in project.render().changes.writes if path.startswith("argocd")]
    assert check(project, capsys) == ""


@pytest.mark.parametrize("path", ["project.yaml", "apps/chat.yaml"])
def test_what_was_edited_or_is_missing_is_found_and_mended(
    project: Project, capsys: pytest.CaptureFixture[str], path: str
) -> None:
    file = project.root / "argocd" / path
    wanted = file.read_bytes()
    assert check(project, capsys) == ""
    file.write_bytes(wanted + b"# mine\n")
    assert f"argocd/{path}: error CF173" in check(project, capsys)
    file.unlink()
    assert f"argocd/{path}: error CF173" in check(project, capsys)
    project.render()
    assert file.read_bytes() == wanted


@pytest.mark.parametrize("field", ["uid: 1f0c0d34-7a9e-4a1c-9a57-2b6c3e1d4f50", "argocd: {name: in-cluster}"])
def test_a_file_that_was_copied_makes_no_second_cluster(
    project: Project, capsys: pytest.CaptureFixture[str], field: str
) -> None:
    """Both overlays would be applied to the one by turns, also that of a wave whose turn it is not."""
    files = sorted((project.root / "clusters").glob("*.yaml"))[:2]
    for file in files:
        text = "\n".join(line for line in file.read_text().splitlines() if line.split(":")[0] not in field)
        file.write_text(f"{text}\n{field}\n")
    said = check(project, capsys)
    assert f"clusters/{files[1].name}: error CF148: {files[1].stem} and {files[0].stem} have the same" in said


def test_files_of_others_stay_and_those_of_an_app_that_is_gone_go(
    project: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    argocd = project.root / "argocd"
    (argocd / "own.yaml").write_text("a: 1\n")
    shutil.copy(argocd / "apps/chat.yaml", argocd / "apps/old.yaml")
    assert "argocd/apps/old.yaml: error CF173: its app is gone" in check(project, capsys)
    project.render()
    assert sorted(path.name for path in argocd.rglob("*.yaml")) == ["chat.yaml", "own.yaml", "project.yaml"]
    assert check(project, capsys) == ""


def test_an_app_whose_spec_is_gone_keeps_its_applications(project: Project) -> None:
    before = project.generated(APP)
    shutil.rmtree(project.spec(APP))
    project.render()
    assert project.generated(APP) == before


def test_a_release_that_goes_before_anybody_had_it_takes_its_kinds_with_it(
    project: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    """The sets are of the tree as it will be, so that rendering twice is rendering once."""
    import subprocess

    for words in (
        ("init", "-q", "-b", "main"),
        ("add", "-A"),
        ("-c", "user.name=a", "-c", "user.email=a@b", "commit", "-qm", "x"),
    ):
        subprocess.run(["git", *words], cwd=project.root, check=True)
    canary = project.spec(APP) / "canary.yaml"
    (project.spec(APP) / "system.md").write_text("Be brief.")
    more = "\n  prompts: [system.md]\n  autoscaler: {min: 2, max: 4, cpu: 70%}"
    change(canary, "port: 8080", f"port: 8080{more}")
    assert cli.main(["render", "--root", str(project.root)]) == 0
    assert {"ConfigMap", "HorizontalPodAutoscaler"} <= kinds(project)
    change(canary, more, "\n  startup: 1m")
    assert cli.main(["render", "--root", str(project.root)]) == 0
    assert not {"ConfigMap", "HorizontalPodAutoscaler"} & kinds(project)
    assert "CF173" not in check(project, capsys)


def test_rendering_one_app_tells_the_same(project: Project) -> None:
    other = project.root / "specs/other"
    shutil.copytree(project.spec(APP), other)
    change(other / "canary.yaml", "name: chat,", "name: other,")
    change(other / "canary.yaml", "namespace: ai", "namespace: elsewhere")
    project.render()
    wanted = (project.root / "argocd/project.yaml").read_bytes()
    assert b"elsewhere" in wanted
    (project.root / "argocd/project.yaml").unlink()
    assert cli.main(["render", APP, "--root", str(project.root)]) == 0
    assert (project.root / "argocd/project.yaml").read_bytes() == wanted


@pytest.mark.parametrize(
    "repository",
    [
        "https://ann:token@git.acme.example/fleet.git",
        "fleet",
        "https://git.acme.example/{{.x}}",
        "",
        "--upload-pack=x",
    ],
)
def test_addresses_that_are_none_or_would_show_a_secret(project: Project, repository: str) -> None:
    change(project.root / "fleet.yaml", "git@git.acme.example:acme/fleet.git", f'"{repository}"')
    with pytest.raises(Problems, match=r"fleet\.yaml.*repository"):
        project.findings()


def test_what_stable_pods_mount_is_not_pruned_when_a_release_drops_it(tmp_path: Path) -> None:
    made = Project(tmp_path)
    made.deployed(APP, GOLDEN / "shared", GOLDEN / "cases/base-several-deployments-hpa-configmap")
    option = "argocd.argoproj.io/sync-options"
    kept = {
        item["metadata"]["name"]: item["metadata"]["annotations"][option]
        for item in made.built(APP, "eu-1")
        if option in item["metadata"].get("annotations", {})
    }
    assert kept == {"settings-k4b9tgf9m9": "Prune=false"}  # an autoscaler that stays would go on scaling

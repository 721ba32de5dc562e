"""Which rights follow from the questions; that they suffice, and that none is too many, is proven end to end."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from canaryfleet.cli import main
from canaryfleet.engines.argo_rollouts.observe import reads
from canaryfleet.models.observation import Read, Subject
from canaryfleet.rbac import RESTRICTED, account, group, objects, text, user
from story import Story


def asked(app: str, namespace: str) -> tuple[Read, ...]:
    return reads(Subject(app=app, namespace=namespace, release="1-a", selector={"app": app}))


def rules(found: list[Any], kind: str, namespace: str | None = None) -> Any:
    """The rules of one role."""
    (role,) = [o for o in found if o["kind"] == kind and o["metadata"].get("namespace") == namespace]
    return role["rules"]


def test_each_namespace_gets_a_role_and_the_cluster_shows_one_object() -> None:
    found = objects([*asked("chat", "shop"), *asked("web", "shop"), *asked("fraud", "bank")])
    assert rules(found, "ClusterRole") == [
        {"apiGroups": [""], "resources": ["namespaces"], "resourceNames": ["kube-system"], "verbs": ["get"]}
    ]
    assert rules(found, "Role", "shop") == rules(found, "Role", "bank")
    assert rules(found, "Role", "shop") == [
        {"apiGroups": [""], "resources": ["pods"], "verbs": ["list"]},
        {"apiGroups": ["apps"], "resources": ["replicasets"], "verbs": ["list"]},
        {"apiGroups": ["argoproj.io"], "resources": ["analysisruns"], "verbs": ["list"]},
        {"apiGroups": ["argoproj.io"], "resources": ["rollouts"], "verbs": ["get"]},
    ]
    bindings = [o for o in found if o["kind"].endswith("Binding")]
    assert len(bindings) == 3
    assert all(o["subjects"] == [dict(account())] for o in bindings)
    assert {o["roleRef"]["kind"] for o in bindings} == {"ClusterRole", "Role"}


def test_nothing_may_be_written_and_no_secret_be_read() -> None:
    found = objects(asked("chat", "shop"))
    given = [rule for o in found for rule in o.get("rules", [])]
    assert {verb for rule in given for verb in rule["verbs"]} <= {"get", "list"}
    assert not {"*", "secrets", "configmaps"} & {name for rule in given for name in rule["resources"]}


@pytest.mark.parametrize("reader", [user("ann"), group("canaryfleet-readers")])
def test_people_need_no_service_account(reader: Any) -> None:
    found = objects(asked("chat", "shop"), reader)
    assert {o["kind"] for o in found} == {"ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding"}
    assert all(o["subjects"] == [reader] for o in found if "subjects" in o)


def test_the_text_is_the_objects_whatever_the_order() -> None:
    first, second = asked("chat", "shop"), asked("fraud", "bank")
    written = text([*first, *second])
    assert list(yaml.safe_load_all(written)) == objects([*first, *second])
    assert written == text([*second, *reversed(first)])
    assert written.startswith("#")


def test_a_fleet_without_apps_may_still_be_recognised() -> None:
    assert {o["kind"] for o in objects([])} == {
        "Namespace",
        "ServiceAccount",
        "ClusterRole",
        "ClusterRoleBinding",
    }


def test_the_bot_may_write_leases_of_its_own_namespace_and_nothing_else() -> None:
    reads = asked("chat", "canaryfleet")
    without, found = objects(reads), objects(reads, bot=True)
    assert found[0]["metadata"].pop("labels") == RESTRICTED
    assert found[: len(without)] == without
    role, binding = found[len(without) :]
    assert role["kind"] == "Role"
    assert role["metadata"] == {"name": "canaryfleet-bot", "namespace": "canaryfleet"}
    assert role["rules"] == [
        {"apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "verbs": ["create", "list", "update"]}
    ]
    assert binding["roleRef"]["name"] == "canaryfleet-bot"
    assert binding["subjects"] == [dict(account())]
    named = [(o["kind"], o["metadata"]["name"], o["metadata"].get("namespace")) for o in found]
    assert len(set(named)) == len(named)
    assert "leases" in text(reads, bot=True)
    assert "leases" not in text(reads)


def test_the_command_gives_the_bots_rights_only_when_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    root = str(Path(__file__).resolve().parents[3])
    assert main(["rbac", "--root", root]) == 0
    assert "leases" not in capsys.readouterr().out
    assert main(["rbac", "--root", root, "--bot"]) == 0
    assert "canaryfleet-bot" in capsys.readouterr().out


def test_an_app_that_no_cluster_has_yet_may_be_read_when_it_comes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    story = Story(tmp_path)  # rendered, and nothing points at it
    capsys.readouterr()
    assert main(["rbac", "--root", str(story.people)]) == 0
    printed = list(yaml.safe_load_all(capsys.readouterr().out))
    assert rules(printed, "Role", "chat") == rules(objects(asked("chat", "chat")), "Role", "chat")

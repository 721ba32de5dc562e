"""deploy/bot and the Containerfile fit the program that they run. That a cluster takes them is proven end to end."""

import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from canaryfleet import lease, rbac, serve
from canaryfleet.commands import arguments, reconcile

ROOT = Path(__file__).resolve().parents[3]
BOT = ROOT / "deploy/bot"


@pytest.fixture(scope="module")
def objects() -> dict[str, Any]:
    """What kustomize makes of the base, by kind; the one ServiceAccount, the one Role…"""
    command = [Path(sys.executable).with_name("kubectl"), "kustomize", BOT]  # of the wheel that comes with us
    done = subprocess.run(command, check=True, capture_output=True)
    found = list(yaml.safe_load_all(done.stdout))
    made = {one["kind"]: one for one in found}
    assert len(made) == len(found)
    return made


@pytest.fixture
def pod(objects: dict[str, Any]) -> Any:
    return objects["Deployment"]["spec"]["template"]["spec"]


@pytest.fixture
def container(pod: Any) -> Any:
    (found,) = pod["containers"]
    return found


def test_the_rights_are_those_that_the_command_prints(objects: dict[str, Any]) -> None:
    printed = {(one["kind"], one["metadata"]["name"]): one for one in rbac.objects([], bot=True)}
    # Applied on the server by one and the same person, a field that the later of the two leaves out is taken away.
    for kind in ("Namespace", "ServiceAccount", "Role", "RoleBinding"):
        given = objects[kind]
        assert given == printed.pop((kind, given["metadata"]["name"]))
    assert set(printed) == {
        ("ClusterRole", rbac.NAME),  # to read a cluster of the fleet, which the bot's own need not be
        ("ClusterRoleBinding", rbac.NAME),
    }
    assert objects["Namespace"]["metadata"]["name"] == rbac.NAMESPACE
    assert "ClusterRole" not in objects


def test_the_command_line_is_one_that_the_bot_takes(container: Any, objects: dict[str, Any]) -> None:
    command, *words = container["args"]
    assert command == "reconcile"
    with pytest.raises(arguments.Shown) as shown:
        reconcile.run([arguments.SHOW])
    options = shown.value.parser.parse_args(words)
    assert (options.watch, options.lease, options.dry_run) == (True, True, False)
    named = re.findall(r"\$\((\w+)\)", " ".join(words))
    assert set(named) == set(objects["ConfigMap"]["data"])
    (port,) = container["ports"]
    assert options.listen == f":{port['containerPort']}"
    (clone,) = [mount for mount in container["volumeMounts"] if mount["name"] == "clone"]
    assert Path(options.root).parent == Path(clone["mountPath"]), "it makes the folder, so that it is its own"


def test_it_is_asked_what_it_answers(container: Any, objects: dict[str, Any]) -> None:
    loop = serve.Loop(lambda _: None, list, serve.Settings(), journal=None, figures=None)  # type: ignore
    answered = set(serve.pages(loop, serve.Figures()))
    asked = {
        container[f"{kind}Probe"]["httpGet"]["path"]: container[f"{kind}Probe"]["httpGet"]["port"]
        for kind in ("startup", "liveness", "readiness")
    }
    assert asked == {"/healthz": "http", "/readyz": "http"}
    assert set(asked) < answered
    (port,) = container["ports"]
    assert port["name"] == "http"
    assert objects["Service"]["spec"]["ports"][0]["targetPort"] == "http"
    assert objects["NetworkPolicy"]["spec"]["ingress"][0]["ports"][0]["port"] == "http"


def test_it_has_time_to_end_a_run_and_to_give_its_leases_back(pod: Any) -> None:
    ending = serve.Settings().grace + 2 * lease.Times().turn
    assert pod["terminationGracePeriodSeconds"] > ending + 10


def test_it_may_write_where_it_has_to_and_nowhere_else(pod: Any, container: Any) -> None:
    volumes = {volume["name"]: volume for volume in pod["volumes"]}
    writable = {m["mountPath"] for m in container["volumeMounts"] if not m.get("readOnly")}
    assert writable == {"/clone", "/tmp"}
    assert all(volumes[m["name"]] for m in container["volumeMounts"])
    assert container["securityContext"]["readOnlyRootFilesystem"] is True
    assert {e["name"]: e["value"] for e in container["env"]}["HOME"] == "/tmp"


def test_no_secret_stands_in_it(objects: dict[str, Any], container: Any) -> None:
    assert "Secret" not in objects
    assert [one["secretRef"]["name"] for one in container["envFrom"] if "secretRef" in one] == [
        "canaryfleet-bot"
    ]


def test_all_that_choose_pods_choose_the_bots(objects: dict[str, Any], pod: Any) -> None:
    labels = objects["Deployment"]["spec"]["template"]["metadata"]["labels"]
    spread = [one["labelSelector"]["matchLabels"] for one in pod["topologySpreadConstraints"]]
    chosen = [
        objects["Deployment"]["spec"]["selector"]["matchLabels"],
        objects["PodDisruptionBudget"]["spec"]["selector"]["matchLabels"],
        objects["NetworkPolicy"]["spec"]["podSelector"]["matchLabels"],
        objects["Service"]["spec"]["selector"],
        *spread,
    ]
    assert chosen == [labels] * 6


# ---- the Containerfile


def instructions() -> list[tuple[str, str]]:
    """Each instruction and its words; lines that are continued are one."""
    text = re.sub(r"\\\n", " ", (ROOT / "Containerfile").read_text())
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    return [(word, rest.strip()) for word, _, rest in (line.partition(" ") for line in lines)]


def test_what_is_copied_is_there_and_is_not_ignored() -> None:
    kept = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line[:1] == "!"}
    for word, rest in instructions():
        if word == "COPY" and not rest.startswith("--from"):
            for path in rest.split()[:-1]:
                assert (ROOT / path).exists(), path
                assert path.split("/")[0] in kept, path


def test_everything_that_is_installed_is_known_by_its_hash() -> None:
    commands = [part for word, rest in instructions() if word == "RUN" for part in rest.split("&&")]
    installs = [shlex.split(part) for part in commands if " pip install " in part or "/pip install " in part]
    assert len(installs) == 3
    for words in installs:
        assert {"--require-hashes", "--only-binary"} <= set(words) or {"--no-index", "--no-deps"} <= set(
            words
        )
    for name in ("image", "build"):
        text = (ROOT / f"requirements/{name}.txt").read_text()
        packages = [line for line in text.splitlines() if "==" in line]
        assert packages
        assert all(line.endswith("\\") for line in packages), "hashes follow"
        assert "://" not in text


def test_it_runs_as_the_user_that_the_deployment_names(pod: Any) -> None:
    security = pod["securityContext"]
    users = [rest for word, rest in instructions() if word == "USER"]
    assert users == [f"{security['runAsUser']}:{security['runAsGroup']}"]
    known = " ".join(rest for word, rest in instructions() if word == "RUN")
    assert f"'canaryfleet:x:{users[0]}::/tmp:/usr/sbin/nologin' >> /etc/passwd" in known, (
        "for ssh and ssh-keygen"
    )
    assert instructions()[-1] == ("ENTRYPOINT", '["tini", "--", "canaryfleet"]')
    assert len({rest.split()[0] for word, rest in instructions() if word == "FROM"}) == 1, "one Python"


def test_the_image_has_what_the_command_line_alone_has_and_in_the_same_versions() -> None:
    def pinned(name: str) -> set[str]:
        found = (ROOT / f"requirements/{name}.txt").read_text()
        return set(re.findall(r"^[\w.-]+==[\w.]+", found, re.MULTILINE))

    assert pinned("run") <= pinned("image")

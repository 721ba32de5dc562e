"""The config-management plugin through Argo CD's own sidecar, asked as the repo-server asks it. It needs no cluster."""

import contextlib
import json
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from rig import wait_until
from rig.argocd import PluginServer, Refused, archive
from rig.manifests import kustomize, load
from rig.processes import Supervisor, lives, run

ROOT = Path(__file__).resolve().parents[2]
APPS = tuple(sorted(path.name for path in (ROOT / "overlays").iterdir()))
AT = "overlays/mcp-tools/clusters/ap-south-1a"
SECRETS = {"REGISTRY_PASSWORD": "s3cr3t-of-the-sidecar", "ARGOCD_ENV_TOKEN": "s3cr3t-of-the-application"}
PROGRAM = [sys.executable, "-m", "canaryfleet"]
# `canaryfleet`, which says that it is there, and then waits until somebody holds the gate open.
GATED = f"""\
#!{sys.executable}
import os
gate = os.environ["ARGOCD_ENV_GATE"]
open(f"{{gate}}/{{os.getpid()}}", "w").close()
open(f"{{gate}}/open", "rb")
from canaryfleet.cli import run
run()
"""


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The example repository as Git has it: its files, without `.git`."""
    root = tmp_path_factory.mktemp("repository")
    for name in run(["git", "ls-files", "-z", "fleet.yaml", "overlays", "specs", "clusters"], ROOT).split(
        "\0"
    )[:-1]:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, root / name)
    return root


@pytest.fixture(scope="module")
def packed(repository: Path) -> bytes:
    return archive(repository)


@contextlib.contextmanager
def serving(logs: Path, first: Path, **environment: str) -> Iterator[PluginServer]:
    """A sidecar with the plugin.yaml that canaryfleet prints; `first` is where it finds its command."""
    supervisor = Supervisor(logs)
    path = os.pathsep.join((str(first), os.environ["PATH"]))
    plugin = run([*PROGRAM, "cmp", "plugin"])
    try:
        server = PluginServer.start(supervisor, plugin, {**environment, "PATH": path}, "canaryfleet")
        try:
            yield server
        finally:
            server.close()
    finally:
        supervisor.stop_all()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PluginServer]:
    folder = tmp_path_factory.mktemp("logs")
    with serving(folder, Path(sys.executable).parent, **SECRETS) as server:
        yield server


def environment(path: str, parameters: Any = None, **variables: str) -> dict[str, str]:
    """What the repo-server gives an Application's plugin, whatever that asks for."""
    more = {} if parameters is None else {"ARGOCD_APP_PARAMETERS": json.dumps(parameters)}
    return {
        "ARGOCD_APP_NAME": "an-application",
        "ARGOCD_APP_NAMESPACE": "elsewhere",
        "ARGOCD_APP_PROJECT_NAME": "default",
        "ARGOCD_APP_REVISION": "0123456789" * 4,
        "ARGOCD_APP_SOURCE_REPO_URL": "https://git.acme.example/fleet.git",
        "ARGOCD_APP_SOURCE_PATH": path,
        "ARGOCD_APP_SOURCE_TARGET_REVISION": "main",
        "KUBE_VERSION": "1.36",
        "KUBE_API_VERSIONS": "v1,apps/v1",
        **{f"ARGOCD_ENV_{name}": value for name, value in variables.items()},
        **more,
    }


def given(**values: str) -> list[dict[str, str]]:
    return [{"name": name, "string": value} for name, value in values.items()]


def objects(texts: list[str]) -> list[Any]:
    return in_order([json.loads(text) for text in texts])


def in_order(found: list[Any]) -> list[Any]:
    return sorted(found, key=lambda item: (item["apiVersion"], item["kind"], item["metadata"]["name"]))


def built(repository: Path, app: str, cluster: str) -> list[Any]:
    """What kustomize makes of an overlay."""
    return in_order(load(kustomize(repository / "overlays" / app / "clusters" / cluster)))


@pytest.mark.parametrize("app", APPS)
def test_argo_cd_gets_what_kustomize_builds(
    server: PluginServer, repository: Path, packed: bytes, app: str
) -> None:
    clusters = sorted(path.name for path in (repository / "overlays" / app / "clusters").iterdir())
    assert clusters
    for cluster in clusters:
        path = f"overlays/{app}/clusters/{cluster}"
        assert objects(server.generate(packed, path, environment(path))) == built(repository, app, cluster)


def test_a_parameter_goes_before_a_variable_and_that_before_the_path(
    server: PluginServer, repository: Path, packed: bytes
) -> None:
    variables = {"APP": "fraud", "CLUSTER": "eu-west-1a"}
    by_variable = built(repository, "fraud", "eu-west-1a")
    for path in (".", AT):
        assert objects(server.generate(packed, path, environment(path, **variables))) == by_variable
    both = environment(AT, given(cluster="eu-central-1a"), **variables)
    assert objects(server.generate(packed, AT, both)) == built(repository, "fraud", "eu-central-1a")
    for nothing in ("null", "[]"):
        alone = environment(AT) | {"ARGOCD_APP_PARAMETERS": nothing}
        assert objects(server.generate(packed, AT, alone)) == built(repository, "mcp-tools", "ap-south-1a")


def test_its_parameters_are_announced_with_the_path_s_values(server: PluginServer, packed: bytes) -> None:
    little = {"ARGOCD_APP_NAME": "an-application", "ARGOCD_APP_SOURCE_PATH": AT}  # no more is given here
    shown = {one.name: one for one in server.announced(packed, AT, little)}
    assert {name: (one.default, one.required) for name, one in shown.items()} == {
        "app": ("mcp-tools", False),
        "cluster": ("ap-south-1a", False),
    }
    assert all(one.title and one.tooltip for one in shown.values())
    assert {(one.item_type, one.collection_type) for one in shown.values()} == {("string", "string")}
    assert all(one.required for one in server.announced(packed, ".", little))


def test_no_repository_is_sent_to_it_only_to_be_looked_at(server: PluginServer, packed: bytes) -> None:
    assert not server.looks()
    assert server.matches(packed, ".") == (False, False), "an Application names it"


@pytest.mark.parametrize(
    ("path", "parameters", "variables", "said"),
    [
        (".", None, {}, "CF190: nothing says which app this is"),
        ("overlays/fraud", None, {}, "CF190: nothing says which cluster this is"),
        (AT, None, {"APP": ""}, "ARGOCD_ENV_APP: error CF190: the app is empty"),
        (AT, given(cluster="../../etc"), {}, "CF190: the cluster is no name of one"),
        (AT, given(token=SECRETS["ARGOCD_ENV_TOKEN"]), {}, "CF190: each parameter is a string"),
        (AT, given(cluster="nowhere"), {}, "CF191: mcp-tools is not on nowhere"),
        (AT, given(app="a\nb"), {}, "CF190: the app is no name of one"),
    ],
)
def test_what_is_in_doubt_is_said_in_one_paragraph(
    server: PluginServer, packed: bytes, path: str, parameters: Any, variables: Mapping[str, str], said: str
) -> None:
    asked = environment(path, parameters, TOKEN=SECRETS["ARGOCD_ENV_TOKEN"], **variables)
    with pytest.raises(Refused) as refused:
        server.generate(packed, path, asked)
    text = str(refused.value)
    assert said in text
    assert "exit status 1" in text
    assert "\n" not in text
    assert "Traceback" not in text
    assert not [secret for secret in SECRETS.values() if secret in text]


BREAK: dict[str, Callable[[Path, Path], object]] = {
    "no resources": lambda at, root: (at / "kustomization.yaml").write_text(
        "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\nresources: []\n"
    ),
    "an empty file": lambda at, root: (at / "kustomization.yaml").write_text(""),
    "no overlay": lambda at, root: shutil.rmtree(at),
    "no release": lambda at, root: shutil.rmtree(root / "overlays/mcp-tools/releases"),
    "an empty release": lambda at, root: [
        path.write_bytes(b"") for path in (root / "overlays/mcp-tools/releases").rglob("*.yaml")
    ],
    "bytes": lambda at, root: (at / "kustomization.yaml").write_bytes(bytes(range(256))),
    "another kustomization": lambda at, root: (at / "kustomization.yaml").write_text(
        "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\nresources: [https://a.example/b]\n"
    ),
    "no fleet.yaml": lambda at, root: (root / "fleet.yaml").unlink(),
}


@pytest.mark.parametrize("wrong", BREAK)
def test_a_broken_repository_is_never_taken_for_one_without_resources(
    server: PluginServer, repository: Path, tmp_path: Path, wrong: str
) -> None:
    root = tmp_path / "broken"
    shutil.copytree(repository, root)
    BREAK[wrong](root / AT, root)
    root.joinpath(AT).mkdir(exist_ok=True)  # where Argo CD goes before it calls anybody
    (root / AT / "other").write_text("")
    with pytest.raises(Refused) as refused:
        server.generate(archive(root), AT, environment(AT))
    text = str(refused.value)
    assert "exit status 1" in text
    assert "\n" not in text


def test_each_call_gives_the_same_bytes(
    server: PluginServer, repository: Path, packed: bytes, tmp_path: Path
) -> None:
    first = server.generate(packed, AT, environment(AT))
    other = environment(AT) | {
        "ARGOCD_APP_NAME": "b",
        "ARGOCD_APP_REVISION": "f" * 40,
        "KUBE_VERSION": "1.30",
    }
    shutil.copytree(repository, tmp_path / "again", copy_function=shutil.copyfile)  # made at another time
    run(["git", "init", "-q", tmp_path / "again"])
    assert server.generate(archive(tmp_path / "again"), AT, other) == first


# with a command that waits


@pytest.fixture
def gate(tmp_path: Path) -> Path:
    folder = tmp_path / "gate"
    folder.mkdir()
    os.mkfifo(folder / "open")
    return folder


@pytest.fixture
def gated(tmp_path: Path) -> Iterator[PluginServer]:
    """A sidecar whose `canaryfleet` waits."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/canaryfleet").write_text(GATED)
    (tmp_path / "bin/canaryfleet").chmod(0o755)
    with serving(tmp_path / "logs", tmp_path / "bin") as server:
        yield server


def waiting(gate: Path) -> set[int]:
    return {int(path.name) for path in gate.iterdir() if path.name.isdecimal()}


def test_at_the_deadline_it_is_ended_and_that_is_an_error(
    gated: PluginServer, packed: bytes, gate: Path
) -> None:
    with pytest.raises(Refused, match=r"signal|DEADLINE"):
        gated.generate(packed, AT, environment(AT, GATE=str(gate)), seconds=10)
    (pid,) = waiting(gate)
    wait_until(lambda: not lives(pid), "it has ended", 10)


def test_two_at_once_get_each_its_own(
    gated: PluginServer, repository: Path, packed: bytes, gate: Path
) -> None:
    clusters = ("ap-south-1a", "eu-west-1a", "us-east-1a")
    asked = [environment(AT, given(cluster=name), GATE=str(gate)) for name in clusters]
    with ThreadPoolExecutor() as pool:
        calls = [pool.submit(gated.generate, packed, AT, one) for one in asked]
        wait_until(lambda: len(waiting(gate)) == len(calls), "all are at work", 60)
        held = os.open(gate / "open", os.O_RDWR)
        try:
            found = [objects(call.result(60)) for call in calls]
        finally:
            os.close(held)
    assert found == [built(repository, "mcp-tools", name) for name in clusters]


def test_in_whatever_time_it_is_all_or_an_error(server: PluginServer, packed: bytes) -> None:
    start = time.monotonic()
    whole = server.generate(packed, AT, environment(AT))
    took = time.monotonic() - start
    found = []
    for share in (0.01, 0.4, 0.6, 0.8, 0.9, 1.0, 1.2, 1.5, 30):
        with contextlib.suppress(Refused):
            found.append(server.generate(packed, AT, environment(AT), seconds=share * took))
    assert found
    assert all(one == whole for one in found)

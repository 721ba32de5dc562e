"""The config-management plugin as Argo CD's repo-server starts it: by its environment and its working folder."""

import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from canaryfleet import cli, plugin
from canaryfleet.errors import Problems
from support import PROPERTY

ROOT = Path(__file__).resolve().parents[2]
AT = "overlays/mcp-tools/clusters/ap-south-1a"


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """What a repo-server unpacks: the files, and no `.git`."""
    shutil.copy(ROOT / "fleet.yaml", tmp_path)
    for app in ("mcp-tools", "fraud"):
        shutil.copytree(ROOT / "overlays" / app, tmp_path / "overlays" / app)
    return tmp_path


def generate(folder: Path, **environment: str) -> tuple[int, str, str]:
    """Exit code, standard output and standard error of a call there."""
    command = [sys.executable, "-m", "canaryfleet", "cmp", "generate"]
    kept = {name: value for name, value in os.environ.items() if not name.startswith("ARGOCD_")}
    path = f"{ROOT / 'generator'}"
    environment = kept | {"PYTHONPATH": path} | environment
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout, done.stderr


def parameters(**values: str) -> str:
    return json.dumps([{"name": name, "string": value} for name, value in values.items()])


def built(tree: Path, app: str, cluster: str) -> Any:
    command = [sys.executable, "-m", "canaryfleet", "build", "--root", str(tree), app, cluster]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def test_the_path_of_an_application_says_what_it_is(tree: Path) -> None:
    code, out, err = generate(tree / AT)
    assert (code, err) == (0, "")
    assert out == built(tree, "mcp-tools", "ap-south-1a")
    assert {item["kind"] for item in yaml.safe_load_all(out)} >= {"Rollout", "VirtualService"}


def test_a_parameter_goes_before_a_variable_and_that_before_the_path(tree: Path) -> None:
    variables = {"ARGOCD_ENV_APP": "fraud", "ARGOCD_ENV_CLUSTER": "eu-west-1a"}
    assert generate(tree, **variables)[1] == built(tree, "fraud", "eu-west-1a")
    assert generate(tree / AT, **variables)[1] == built(tree, "fraud", "eu-west-1a")
    given = variables | {"ARGOCD_APP_PARAMETERS": parameters(cluster="eu-central-1a")}
    assert generate(tree / AT, **given)[1] == built(tree, "fraud", "eu-central-1a")
    for nothing in ("null", "[]", ""):
        assert generate(tree / AT, ARGOCD_APP_PARAMETERS=nothing)[0] == 0


@pytest.mark.parametrize(
    ("folder", "environment", "said"),
    [
        (".", {}, "spec.source.plugin: error CF190: nothing says which app this is"),
        ("overlays/fraud", {}, "nothing says which cluster this is"),
        (".", {"ARGOCD_ENV_APP": ""}, "ARGOCD_ENV_APP: error CF190: the app is empty"),
        (AT, {"ARGOCD_APP_PARAMETERS": parameters(cluster="")}, "the cluster is empty"),
        (AT, {"ARGOCD_APP_PARAMETERS": parameters(cluster="../a")}, "is no name of one"),
        (AT, {"ARGOCD_APP_PARAMETERS": parameters(image="x")}, "one of app, cluster"),
        (AT, {"ARGOCD_APP_PARAMETERS": "{"}, "no list of parameters"),
        (AT, {"ARGOCD_APP_PARAMETERS": "[" * 100_000}, "no list of parameters"),
        (AT, {"ARGOCD_APP_PARAMETERS": '[{"name": "app", "array": ["a"]}]'}, "no list of parameters"),
        (AT, {"ARGOCD_APP_PARAMETERS": '[{"name": "app", "string": ["a"]}]'}, "each parameter is a string"),
        (AT, {"ARGOCD_APP_PARAMETERS": json.dumps(2 * json.loads(parameters(app="a")))}, "given twice"),
        (AT, {"ARGOCD_ENV_CLUSTER": "nowhere"}, "error CF191: mcp-tools is not on nowhere"),
    ],
)
def test_what_is_in_doubt_is_an_error_in_one_paragraph(
    tree: Path, folder: str, environment: dict[str, str], said: str
) -> None:
    code, out, err = generate(tree / folder, **environment)
    assert code == 1
    assert not out
    assert said in err
    assert err.count("\n") == 1


def test_outside_of_a_repository_and_in_a_broken_one_it_fails(tree: Path, tmp_path_factory: Any) -> None:
    assert generate(tmp_path_factory.mktemp("empty"))[:2] == (1, "")
    release = next((tree / "overlays/mcp-tools/releases").iterdir())
    shutil.rmtree(release)
    code, out, err = generate(tree / AT)
    assert (code, out) == (1, "")
    assert "CF0" in err or "CF1" in err


def test_an_overlay_of_nothing_is_not_taken_for_no_resources(tree: Path) -> None:
    (tree / AT / "kustomization.yaml").write_text(
        "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\nresources: []\n"
    )
    code, out, err = generate(tree / AT)
    assert (code, out) == (1, "")
    assert "CF192" in err


def test_no_secret_of_the_environment_is_said(tree: Path) -> None:
    secret = "s3cr3t-value"
    for environment in (
        {"ARGOCD_APP_PARAMETERS": '[{"name": "app", "string": "' + secret},
        {"ARGOCD_APP_PARAMETERS": parameters(token=secret)},
        {"ARGOCD_ENV_TOKEN": secret, "ARGOCD_ENV_CLUSTER": "nowhere"},
    ):
        code, out, err = generate(tree / AT, **environment)
        assert code == 1
        assert secret not in out + err


@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("end", ["ended", "not heard"])
def test_who_is_ended_or_not_heard_to_the_end_has_failed(tree: Path, end: str, unbuffered: str) -> None:
    reader, writer = os.pipe()
    fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, 4096)  # less than there is to write: it waits in the middle
    command = [sys.executable, "-m", "canaryfleet", "cmp", "generate"]
    environment = os.environ | {"PYTHONPATH": f"{ROOT / 'generator'}", "PYTHONUNBUFFERED": unbuffered}
    with subprocess.Popen(command, cwd=tree / AT, env=environment, stdout=writer, stderr=-1) as process:
        os.close(writer)
        assert os.read(reader, 1), "it has begun to write"
        if end == "ended":
            process.terminate()
            process.wait(60)
        os.close(reader)
        assert process.wait(60) == (-signal.SIGTERM if end == "ended" else 1)
        assert process.stderr is not None
        assert process.stderr.read() == b""


def test_what_is_announced_has_the_path_s_values(tree: Path, monkeypatch: Any, capsys: Any) -> None:
    monkeypatch.chdir(tree / AT)
    assert cli.main(["cmp", "parameters"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert [(item["name"], item["string"], item["required"]) for item in shown] == [
        ("app", "mcp-tools", False),
        ("cluster", "ap-south-1a", False),
    ]
    monkeypatch.chdir(tree)
    assert cli.main(["cmp", "parameters"]) == 0
    assert [item["required"] for item in json.loads(capsys.readouterr().out)] == [True, True]


def test_the_committed_plugin_yaml_is_what_the_code_prints(capsys: Any) -> None:
    assert cli.main(["cmp", "plugin"]) == 0
    printed = capsys.readouterr().out
    documents = list(yaml.safe_load_all((ROOT / "deploy/argocd-plugin/sidecar.yaml").read_text()))
    (config,) = [item for item in documents if item["kind"] == "ConfigMap"]
    assert config["data"]["plugin.yaml"] == printed, "put what `canaryfleet cmp plugin` prints there"


WORDS = st.sampled_from(
    ["app", "cluster", "mcp-tools", "ap-south-1a", "", "..", "a/b", "nowhere", "\0", "x" * 300]
)
VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | WORDS,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["name", "string", "array", "map"]), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(given=VALUES, variables=st.dictionaries(st.sampled_from(["APP", "CLUSTER", "X"]), WORDS), path=WORDS)
@PROPERTY
def test_whatever_is_given_it_is_a_name_or_an_error(given: Any, variables: dict[str, str], path: str) -> None:
    environment = {f"ARGOCD_ENV_{name}": value for name, value in variables.items()}
    try:
        found = plugin.asked(environment | {"ARGOCD_APP_PARAMETERS": json.dumps(given)}, f"overlays/{path}")
    except Problems as problems:
        codes = [finding.code for finding in problems.findings]
    else:
        codes = ["CF190"]
        assert not {"", ".."} & set(found)
        assert not any("/" in name or "\0" in name for name in found)
    assert codes == ["CF190"]

"""`init` as a person runs it: a right repository in a few answers, and nothing of anybody's lost."""

import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest
from driver import GIT_IDENTITY, Result, run

import canaryfleet
from canaryfleet.schema import FILES

PIN = "sha256:" + "ab" * 32
IMAGE = f"ghcr.io/acme/search:1.4.0@{PIN}"
SPEC = f"""\
# yaml-language-server: $schema=../../schemas/canary.schema.json
apiVersion: canaryfleet.dev/v1alpha1
kind: Canary
metadata: {{name: search, namespace: search}}
version: "1.4.0"
workload:
  image: {IMAGE}
  port: 8080
  replicas: 2
exposure: {{steps: [{{weight: 5%, for: 10m}}, {{weight: 25%, for: 10m}}, {{weight: 50%, for: 10m}}]}}
analysis: {{minimumSamples: 200, metrics: [{{preset: istio/error-rate, promoteBelow: 1%, rollbackAbove: 5%}}]}}
waves:
- {{name: pilot, clusters: [eu-1], minSuccessTime: 1h}}
- {{name: rest, maxConcurrency: 25%, minSuccessTime: 1h}}
"""
LIVE = """\
apiVersion: v1
kind: List
items:
- apiVersion: apps/v1
  kind: Deployment
  metadata:
    name: web
    namespace: shop
    uid: 8beefbb4
    resourceVersion: "7"
    creationTimestamp: "2026-01-01T00:00:00Z"
    managedFields: [{manager: kubectl}]
    annotations: {deployment.kubernetes.io/revision: "3", kubectl.kubernetes.io/last-applied-configuration: "x", team: a}
  spec:
    replicas: 3
    selector: {matchLabels: {app: web}}
    template:
      metadata:
        creationTimestamp: null
        labels: {app: web}
        annotations: {kubectl.kubernetes.io/restartedAt: "2026-10-01"}
      spec:
        serviceAccountName: web
        containers:
        - {name: log, image: "ghcr.io/acme/log:1"}
        - name: web
          image: ghcr.io/acme/web:7.1
          ports: [{name: http, containerPort: 8080}]
          envFrom: [{configMapRef: {name: web}}, {secretRef: {name: token}}]
  status: {replicas: 3}
- apiVersion: v1
  kind: Service
  metadata: {name: web, namespace: shop, uid: c0ffee}
  spec:
    clusterIP: 10.0.0.1
    clusterIPs: [10.0.0.1]
    ipFamilies: [IPv4]
    selector: {app: web}
    ports: [{name: http, port: 80, targetPort: http, nodePort: 30000}, {name: stats, port: 9090}]
  status: {loadBalancer: {}}
- {apiVersion: v1, kind: ServiceAccount, metadata: {name: web, namespace: shop}}
- {apiVersion: v1, kind: ConfigMap, metadata: {name: web, namespace: shop}, data: {MODE: fast}}
- {apiVersion: v1, kind: ConfigMap, metadata: {name: other, namespace: shop}, data: {MODE: fast}}
- {apiVersion: v1, kind: Secret, metadata: {name: token, namespace: shop}, data: {T: c2VjcmV0}}
- apiVersion: autoscaling/v2
  kind: HorizontalPodAutoscaler
  metadata: {name: web, namespace: shop}
  spec: {scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: web}, minReplicas: 2, maxReplicas: 4}
"""
PINNED = LIVE.replace("web:7.1", f"web:7.1@{PIN}").replace("log:1", f"log:1@{PIN}")
FLAGGER = """\
apiVersion: flagger.app/v1beta1
kind: Canary
metadata: {name: web, namespace: shop}
spec:
  targetRef: {apiVersion: apps/v1, kind: Deployment, name: web}
  service: {port: 80, targetPort: http, gateways: [public.istio-system.svc.cluster.local], hosts: [shop.acme.example]}
  analysis:
    interval: 2m
    threshold: 3
    stepWeights: [5, 20, 60, 100]
    metrics:
    - {name: request-success-rate, thresholdRange: {min: 99.5}}
    webhooks:
    - {name: gate, type: confirm-promotion, url: "http://gate.shop/"}
"""


def init(folder: Path, *words: str) -> Result:
    """`canaryfleet init` in a folder."""
    folder.mkdir(exist_ok=True)
    return run("init", *words, "--root", str(folder))


def content(folder: Path) -> dict[str, bytes]:
    found = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in found}


@pytest.fixture
def fleet(tmp_path: Path) -> Path:
    """A repository of two clusters, without apps."""
    folder = tmp_path / "fleet"
    assert init(folder, "--cluster", "eu-1:region=eu", "--cluster", "us-1:region=us,tier=edge").code == 0
    return folder


def clean(folder: Path) -> None:
    """Lint has nothing to say, and what is rendered is proven."""
    found = run("lint", "--root", str(folder))
    # what a running Deployment has is taken as it is; that its images may change is said
    others = [
        line for line in found.err.splitlines() if "warning CF117" not in line and " warning" not in line
    ]
    assert (found.code, others) == (0, [])
    assert run("render", "--root", str(folder)).code == 0
    assert run("render", "--check", "--root", str(folder)).code == 0


def test_an_empty_folder_becomes_a_repository_that_can_be_rendered_and_pointed(tmp_path: Path) -> None:
    folder = tmp_path / "My Fleet"
    found = init(folder, "search", "--image", IMAGE, "--cluster", "eu-1:region=eu", "--cluster", "us-1")
    assert (found.code, found.err) == (0, "")
    assert found.out.count("schemas/") == 1
    assert f"\nschemas/ ({len(FILES)} files, for editors and programs)\n" in found.out
    assert (folder / "specs/search/canary.yaml").read_text() == SPEC
    assert len(SPEC.splitlines()) < 15
    assert (folder / "fleet.yaml").read_text().splitlines()[-2:] == [
        "metadata: {name: my-fleet}",
        "metrics: {prometheus: http://prometheus.istio-system:9090}",
    ]
    assert "labels: {region: eu}" in (folder / "clusters/eu-1.yaml").read_text()
    assert "context: us-1" in (folder / "clusters/us-1.yaml").read_text()
    assert b".canaryfleet-*/" in content(folder)[".gitignore"]
    assert run("schema", "--check", "--root", str(folder)).code == 0
    clean(folder)
    assert run("point", "search", "--wave", "pilot", "--root", str(folder)).code == 0


def git(folder: Path, *words: str) -> None:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    environment = kept | GIT_IDENTITY | {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull}
    subprocess.run(["git", *words], cwd=folder, env=environment, check=True, capture_output=True)


def test_the_default_branch_is_the_one_that_the_repository_has(tmp_path: Path) -> None:
    """Git calls a first branch as it was told to, and that is not always `main`."""
    folder = tmp_path / "fleet"
    folder.mkdir()
    git(folder, "init", "--initial-branch=master")
    assert init(folder, "search", "--image", IMAGE, "--cluster", "eu-1").code == 0
    assert "defaultBranch: master" in (folder / "fleet.yaml").read_text()
    git(folder, "add", ".")
    git(folder, "commit", "--message=search")
    assert (run("lint", "--root", str(folder)).code, run("diff", "--root", str(folder)).code) == (0, 0)


def test_a_branch_of_ones_own_is_not_taken_for_the_default_branch(tmp_path: Path) -> None:
    there, clone, alone = tmp_path / "there", tmp_path / "clone", tmp_path / "alone"
    for folder in (there, alone):
        folder.mkdir()
        git(folder, "init", "--initial-branch=trunk")
        git(folder, "commit", "--allow-empty", "--message=first")
    git(tmp_path, "clone", str(there), str(clone))
    for folder in (clone, alone):
        git(folder, "switch", "--create=by-canaryfleet")
        assert init(folder, "--cluster", "eu-1").code == 0
    assert "defaultBranch: trunk" in (clone / "fleet.yaml").read_text()
    assert "defaultBranch" not in (alone / "fleet.yaml").read_text(), "one of two: nobody says which"


def test_every_file_names_its_schema_where_it_is(fleet: Path) -> None:
    init(fleet, "search", "--image", IMAGE)
    for path in ("fleet.yaml", "clusters/eu-1.yaml", "specs/search/canary.yaml"):
        first = (fleet / path).read_text().splitlines()[0]
        named = first.removeprefix("# yaml-language-server: $schema=")
        assert ((fleet / path).parent / named).is_file(), first


def test_one_cluster_is_one_wave_and_the_smallest_is_the_pilot(tmp_path: Path) -> None:
    assert init(tmp_path / "one", "a", "--image", IMAGE, "--cluster", "eu-1").code == 0
    assert "waves: [{name: all, minSuccessTime: 1h}]" in (tmp_path / "one/specs/a/canary.yaml").read_text()
    clean(tmp_path / "one")
    large = tmp_path / "one/clusters/eu-1.yaml"
    large.write_text(large.read_text() + "capacity: 40\n")
    assert init(tmp_path / "one", "b", "--image", IMAGE, "--cluster", "us-1").code == 0
    assert "clusters: [us-1]" in (tmp_path / "one/specs/b/canary.yaml").read_text()


def test_all_that_an_option_says_is_in_the_spec(fleet: Path) -> None:
    words = [
        "--namespace",
        "ai",
        "--version",
        "3.0",
        "--port",
        "9000",
        "--replicas",
        "4",
        "--protocol",
        "grpc",
    ]
    words += ["--host", "a.acme.example", "--gateway", "istio-ingress/public", "--startup", "5m"]
    assert init(fleet, "search", "--image", IMAGE, *words).code == 0
    text = (fleet / "specs/search/canary.yaml").read_text()
    for line in (
        "metadata: {name: search, namespace: ai}", 'version: "3.0"', "  port: 9000", "  replicas: 4",
        "  startup: 5m", "  hosts: [a.acme.example]", "  gateways: [istio-ingress/public]", "  protocol: grpc",
    ):  # fmt: skip
        assert line in text.splitlines()
    clean(fleet)


def test_nothing_that_is_there_is_changed(fleet: Path) -> None:
    assert init(fleet, "search", "--image", IMAGE).code == 0
    (fleet / "schemas/canary.schema.json").write_text("{}")
    (fleet / ".gitignore").write_text("mine\n")
    before = content(fleet)
    found = init(fleet, "search", "--image", IMAGE, "--cluster", "eu-1", "--cluster", "new-1")
    assert found.code == 1
    assert {finding.file for finding in found.findings} == {"specs/search/canary.yaml", "clusters/eu-1.yaml"}
    assert found.codes == {"CF040"}
    assert content(fleet) == before
    assert init(fleet, "other", "--image", IMAGE).code == 0
    assert {path: data for path, data in content(fleet).items() if path in before} == before


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "--cluster NAME"),
        (["search", "--cluster", "a"], "--image, --from-deployment or --from-flagger"),
        (["--image", IMAGE, "--cluster", "a"], "APP"),
        (["Search", "--image", IMAGE, "--cluster", "a"], "APP: 'Search' is no name"),
        (["../x", "--image", IMAGE, "--cluster", "a"], "is no name"),
        (["s", "--image", IMAGE, "--cluster", "a:b"], "--cluster: 'a:b' is not of the form"),
        (["s", "--image", IMAGE, "--cluster", "../a"], "--cluster"),
        (["s", "--image", IMAGE, "--cluster", "a", "--host", "x.example"], "--gateway"),
        (["s", "--image", IMAGE, "--from-deployment", "x", "--cluster", "a"], "give one"),
        (["--from-flagger", "-", "--from-deployment", "-", "--cluster", "a"], "standard input"),
    ],
)
def test_wrong_usage_names_the_options_and_writes_nothing(
    tmp_path: Path, words: list[str], said: str
) -> None:
    found = init(tmp_path / "x", *words)
    assert (found.code, found.out) == (2, "")
    assert said in found.err
    assert content(tmp_path / "x") == {}


@pytest.mark.parametrize(
    "words",
    [
        ["s", "--image", "not an image"],
        ["s", "--image", IMAGE, "--namespace", "ns", "--version", "a b"],
        ["s", "--image", IMAGE, "--port", "70000"],
        ["s", "--image", IMAGE, "--host", "a b", "--gateway", "x/y"],
        ["s", "--image", IMAGE, "--startup", "soon"],
        ["s", "--from-deployment", "/nowhere.yaml"],
        ["s", "--image", f"x\u0085@{PIN}", "--mutable"],
    ],
    ids=lambda words: words[-1],
)
def test_a_wrong_answer_is_explained_and_writes_nothing(fleet: Path, words: list[str]) -> None:
    before = content(fleet)
    found = init(fleet, *words)
    assert found.code == 1, found
    assert found.findings
    assert content(fleet) == before


def test_an_image_that_no_registry_pins_writes_nothing_unless_it_is_wanted_so(
    fleet: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("time.sleep", lambda _: None)
    before = content(fleet)
    assert init(fleet, "s", "--image", "localhost:1/acme/s:2").codes == {"CF043"}
    assert content(fleet) == before
    found = init(fleet, "s", "--image", "localhost:1/acme/s:2", "--unpinned")
    assert (found.code, found.codes) == (0, {"CF117"})
    assert "Next: canaryfleet pin s; canaryfleet lint s; " in found.out, "what lint would ask for comes first"
    assert "`canaryfleet pin s` adds" in found.err
    assert init(fleet, "m", "--image", "localhost:1/acme/m:2", "--mutable").code == 0
    assert "mutable: true" in (fleet / "specs/m/canary.yaml").read_text()


def test_json(fleet: Path) -> None:
    found = init(fleet, "s", "--image", "acme/s:2", "--unpinned", "--output", "json")
    assert found.json["app"] == "s"
    assert found.json["written"] == ["specs/s/canary.yaml"]
    assert [item["code"] for item in found.json["left"]] == ["CF117"]
    from jsonschema import Draft202012Validator

    schema = json.loads((fleet / "schemas/started.schema.json").read_text())
    Draft202012Validator(schema).validate(found.json)


# From what somebody has


def test_a_secret_in_plain_text_is_warned_of_and_not_shown(fleet: Path, tmp_path: Path) -> None:
    env = "env: [{name: MODE, value: fast}, {name: API_TOKEN, value: hunter2}, {name: MAX_TOKENS, value: '100'}]\n          "
    (tmp_path / "live.yaml").write_text(
        LIVE.replace("ports: [{name: http, containerPort", env + "ports: [{name: http, containerPort")
    )
    found = init(fleet, "--from-deployment", str(tmp_path / "live.yaml"), "--port", "80")
    assert found.code == 0
    (warned,) = [item for item in found.findings if item.code == "CF045"]
    assert "API_TOKEN" in warned.text
    assert "hunter2" not in found.out + found.err


def test_a_running_deployment_is_adopted_without_what_the_cluster_added(fleet: Path, tmp_path: Path) -> None:
    (tmp_path / "live.yaml").write_text(LIVE)
    found = init(fleet, "--from-deployment", str(tmp_path / "live.yaml"), "--port", "80")
    assert found.code == 0
    assert [item.line for item in found.findings if "Secret" in item.text] == [44]
    assert {item.text.split()[3] for item in found.findings} == {"Secret", "ConfigMap"}
    assert "Secret token is not taken over: Git is no place for it" in found.err
    base = (fleet / "specs/web/base/web.yaml").read_text()
    for word in (
        "uid",
        "managedFields",
        "status",
        "clusterIP",
        "nodePort",
        "resourceVersion",
        "last-applied",
        "c2VjcmV0",
    ):
        assert word not in base, word
    for word in (
        "restartedAt",
        "team: a",
        "kind: HorizontalPodAutoscaler",
        "kind: ServiceAccount",
        "MODE: fast",
    ):
        assert word in base, word  # a pod that loses an annotation would be restarted
    spec = (fleet / "specs/web/canary.yaml").read_text()
    assert 'workload: {base: "./base", container: web, port: 80, adopt: true, mutable: true}' in spec
    assert 'version: "7.1"' in spec
    assert "metadata: {name: web, namespace: shop}" in spec
    assert "ghcr.io/acme/web:7.1\n" in base, "untouched: another image would restart what runs"
    clean(fleet)


def test_manifests_that_run_nowhere_are_not_adopted(fleet: Path, tmp_path: Path) -> None:
    text = PINNED.replace("    uid: 8beefbb4\n", "").replace("  status: {replicas: 3}\n", "")
    (tmp_path / "app.yaml").write_text(text)
    assert init(fleet, "shop", "--from-deployment", str(tmp_path / "app.yaml"), "--port", "80").code == 0
    spec = (fleet / "specs/shop/canary.yaml").read_text()
    assert 'workload: {base: "./base", container: web, port: 80}' in spec
    clean(fleet)
    assert (
        init(fleet, "s2", "--from-deployment", str(tmp_path / "app.yaml"), "--port", "80", "--adopt").code
        == 0
    )
    assert "adopt: true}" in (fleet / "specs/s2/canary.yaml").read_text()


@pytest.mark.parametrize(
    ("old", "new", "words", "said"),
    [
        ("kind: Deployment", "kind: StatefulSet", [], "there is no Deployment in it"),
        ("kind: Service\n", "kind: Elsewhere\n", [], "no Service selects the pods of Deployment web"),
        ("", "", [], "say it with --port: 80, 9090"),
        ("", "", ["--port", "81"], "has no port 81"),
        ("containers:", "boxes:", ["--port", "80"], "has no containers"),
        ("apiVersion: v1\nkind: List", "apiVersion: v1\nkind: Bag", [], "no Kubernetes object"),
    ],
)
def test_manifests_that_make_no_app(
    fleet: Path, tmp_path: Path, old: str, new: str, words: list[str], said: str
) -> None:
    named = PINNED.replace("name: http, port: 80", "name: web, port: 80").replace("name: stats", "name: x")
    (tmp_path / "x.yaml").write_text(named.replace(old, new) if old else named)
    before = content(fleet)
    found = init(fleet, "--from-deployment", str(tmp_path / "x.yaml"), *words)
    assert (found.code, found.codes) == (1, {"CF041"})
    assert said in found.err
    assert content(fleet) == before


def test_a_flagger_canary_becomes_a_spec(fleet: Path, tmp_path: Path) -> None:
    (tmp_path / "flagger.yaml").write_text(
        FLAGGER + "---\n" + PINNED.replace("replicas: 3\n", "replicas: 0\n", 1)
    )
    found = init(fleet, "--from-flagger", str(tmp_path / "flagger.yaml"))
    assert found.code == 0
    spec = (fleet / "specs/web/canary.yaml").read_text()
    assert (
        """
exposure:
  hosts: [shop.acme.example]
  gateways: [istio-system/public]
  steps: [{weight: 5%, for: 2m}, {weight: 20%, for: 2m}, {weight: 60%, for: 2m}]
analysis:
  interval: 2m
  failureLimit: 2
  minimumSamples: 400
  metrics: [{preset: istio/success-rate, promoteAbove: 99.5%, rollbackBelow: 98.5%}]
"""
        in spec
    )
    assert "# - webhook gate is not taken over (`for: manual`" in spec
    (line,) = [item for item in found.findings if "webhook" in item.text]
    assert (line.line, line.code) == (14, "CF042")
    assert "adopt" not in spec, "Flagger has scaled its target down: there is nothing to adopt"
    clean(fleet)


def test_a_flagger_canary_with_an_image_of_its_own(fleet: Path, tmp_path: Path) -> None:
    (tmp_path / "flagger.yaml").write_text(FLAGGER.replace("targetPort: http", "targetPort: 9898"))
    alone = init(fleet, "--from-flagger", str(tmp_path / "flagger.yaml"))
    assert (alone.code, alone.codes) == (1, {"CF041"})
    assert "--from-deployment, or --image" in alone.err
    assert init(fleet, "--from-flagger", str(tmp_path / "flagger.yaml"), "--image", IMAGE).code == 0
    assert "  port: 9898\n" in (fleet / "specs/web/canary.yaml").read_text()
    clean(fleet)


# At a terminal


ENVIRONMENT = {
    name: value for name, value in os.environ.items() if not name.startswith("GIT_")
} | GIT_IDENTITY | {"PYTHONPATH": str(Path(canaryfleet.__file__).parents[1])}  # fmt: skip


def at_a_terminal(folder: Path, typed: str, *words: str) -> tuple[int, str, str]:
    """The command with somebody who types; its exit code, standard output, and what the terminal showed."""
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "canaryfleet", "init", *words]
    with subprocess.Popen(
        command, cwd=folder, env=ENVIRONMENT, stdin=theirs, stdout=subprocess.PIPE, stderr=theirs
    ) as process:
        os.close(theirs)
        os.write(ours, typed.encode())
        shown = b""
        try:
            while part := os.read(ours, 65536):
                shown += part
        except OSError:  # the terminal's other end is closed: the command has ended
            pass
        assert process.stdout is not None
        out = process.stdout.read().decode()
        code = process.wait(30)
    os.close(ours)
    return code, out, shown.decode()


def test_questions_at_a_terminal(tmp_path: Path) -> None:
    answers = ["acme", "", "eu-1:region=eu us-1", "search", IMAGE, "", "9000", "", "s.acme.example", ""]
    code, out, shown = at_a_terminal(tmp_path, "".join(f"{answer}\n" for answer in answers))
    assert code == 0, shown
    assert "Name of the fleet [" in shown
    assert "Port that it serves [8080]: " in shown
    assert "Name of the fleet" not in out, "standard output is the result's"
    spec = (tmp_path / "specs/search/canary.yaml").read_text()
    assert "port: 9000" in spec
    assert "gateways: [istio-ingress/public]" in spec
    clean(tmp_path)


def test_an_end_of_the_answers_writes_nothing(tmp_path: Path) -> None:
    code, _, shown = at_a_terminal(tmp_path, "acme\n\x04")
    assert code == 2
    assert "nothing has been written" in shown
    assert content(tmp_path) == {}


def test_options_leave_nothing_to_ask(tmp_path: Path) -> None:
    code, _, shown = at_a_terminal(tmp_path, "", "search", "--image", IMAGE, "--cluster", "a", "--yes")
    assert (code, "[" in shown) == (0, False)

"""Every field of spec, cluster, fleet and promotion: a wrong type, nothing, unknown, missing, huge."""

import copy
import json
from collections.abc import Iterator
from functools import cache
from typing import Any

import pytest
import yaml
from driver import IMAGE, Repo, Result

Path = tuple[str | int, ...]
API = "canaryfleet.dev/v1alpha1"
FILES = {
    "specs/chat/canary.yaml": {
        "apiVersion": API,
        "kind": "Canary",
        "metadata": {"name": "chat", "namespace": "inference"},
        "version": "1.0.0",
        "engine": "argo-rollouts",
        "routing": "istio",
        "workload": {
            "image": IMAGE,
            "port": 8000,
            "ports": {"metrics": 9090},
            "autoscaler": {"min": 1, "max": 3, "cpu": "60%", "metrics": []},
            "command": ["/server"],
            "args": ["--region", "$(cluster.labels.region)"],
            "env": {"LEVEL": "info", "TOKEN": {"secret": "api", "key": "token"}},
            "serviceAccount": "chat",
            "imagePullSecrets": ["registry"],
            "labels": {"team": "search"},
            "annotations": {"note": "x"},
            "nodeSelector": {"gpu": "h100"},
            "tolerations": [{"key": "gpu", "operator": "Exists"}],
            "volumes": [
                {"name": "cache", "mountPath": "/cache", "source": {"emptyDir": {}}, "readOnly": True}
            ],
            "resources": {"limits": {"memory": "24Gi"}, "requests": {"cpu": "500m"}},
            "readiness": {"path": "/ready", "port": 8000, "period": "5s", "timeout": "1s", "failures": 2},
            "liveness": {"command": ["/alive"]},
            "model": {
                "name": "llama",
                "version": "1",
                "uri": "s3://models/llama",
                "checksum": f"sha256:{64 * '0'}",
            },
            "prompts": ["system.md"],
            "promptsDir": "/prompts",
            "config": [],
            "configDir": "/config",
            "startup": "5m",
            "drain": "1m",
            "disruption": 1,
            "mutable": False,
        },
        "exposure": {
            "hosts": ["chat.$(cluster.domain)"],
            "gateways": ["istio-ingress/public"],
            "protocol": "http",
            "split": "subset",
            "sticky": {"cookie": "session", "maxAge": "1d", "secure": True, "namespace": "istio-system"},
            "timeout": "30s",
            "retries": {"attempts": 1, "perTryTimeout": "2s", "retryOn": "connect-failure"},
            "idempotent": True,
            "dynamicStableScale": False,
            "steps": [
                {"mirror": "10%", "for": "5m", "scale": {"replicas": 2}},
                {"header": {"x-group": {"regex": "a|b"}}, "for": "5m"},
                {"cookie": {"beta": "1"}, "for": "manual"},
                {"weight": "10%", "for": "5m"},
            ],
        },
        "analysis": {
            "interval": "1m",
            "window": "5m",
            "minimumSamples": 10,
            "count": 30,
            "failureLimit": 0,
            "consecutiveSuccessLimit": 1,
            "consecutiveErrorLimit": 60,
            "metrics": [
                {
                    "preset": "istio/latency",
                    "name": "p99",
                    "quantile": 0.99,
                    "parameters": {"reporter": "destination"},
                    "promoteBelow": "200ms",
                    "rollbackAbove": "500ms",
                    "during": ["steps", "background", "bake"],
                    "interval": "30s",
                    "count": 10,
                    "failureLimit": 1,
                    "consecutiveErrorLimit": 10,
                    "consecutiveSuccessLimit": 1,
                    "minimumSamples": 5,
                },
                {
                    "name": "score",
                    "query": "max(score{$(selector)})",
                    "samples": "sum(increase(requests_total{$(selector)}[$(window)]))",
                    "unit": "ratio",
                    "comparedTo": "stable",
                    "promoteAbove": "-1%",
                    "rollbackBelow": "-3%",
                },
                {
                    "name": "web",
                    "provider": {"web": {"url": "https://x.example/$(secret.a)", "jsonPath": "{$.value}"}},
                    "value": "asFloat(result)",
                    "secrets": {"a": {"secret": "api", "key": "token"}},
                    "promoteAbove": 0.9,
                    "rollbackBelow": 0.8,
                },
            ],
        },
        "waves": [
            {
                "name": "pilot",
                "clusters": ["eu-1"],
                "maxConcurrency": "25%",
                "minSuccessTime": "1h",
                "progressDeadline": "1d",
                "maxFailures": 0,
                "approval": "required",
                "windows": [{"days": "Mon-Thu,Sat", "from": "09:00", "to": "24:00", "timezone": "UTC"}],
            },
            {"name": "part", "share": "50%", "of": "capacity", "spreadOver": "region", "seed": "x"},
            {"name": "eu", "selector": {"region": "eu"}},
            {"name": "rest"},
        ],
        "hotfixWaves": [{"name": "all"}],
        "overrides": [
            {
                "clusters": ["eu-1"],
                "selector": {"region": "eu"},
                "resources": {"limits": {"memory": "32Gi"}},
                "env": {"LEVEL": "debug"},
                "nodeSelector": {"gpu": "l4"},
                "minReplicas": 1,
                "maxReplicas": 2,
                "hosts": ["eu.acme.example"],
                "gateways": ["istio-ingress/public"],
                "metrics": {"prometheus": "http://thanos:9090"},
            }
        ],
        "rollback": {"automatic": True, "revisions": 3, "history": 10, "notify": ["team"]},
        "onNewRelease": "queue",
        "urgency": "normal",
        "lifecycle": "active",
    },
    "clusters/eu-1.yaml": {
        "apiVersion": API,
        "kind": "Cluster",
        "metadata": {"name": "eu-1", "labels": {"region": "eu"}},
        "capacity": 40,
        "resources": {"nvidia.com/gpu": 8},
        "variables": {"domain": "eu.acme.example"},
        "metrics": {"prometheus": "http://prometheus:9090"},
        "access": {"context": "eu-1"},
        "uid": "1f0c0d34",
        "maxConcurrentCanaries": 2,
        "lifecycle": "active",
    },
    "fleet.yaml": {
        "apiVersion": API,
        "kind": "Fleet",
        "metadata": {"name": "acme"},
        "paused": False,
        "defaultBranch": "main",
        "forge": {"type": "github", "repository": "acme/fleet", "url": "https://git.example"},
        "metrics": {"prometheus": "http://prometheus:9090", "selector": 'pod=~"$(rollout)-$(hash)-.*"'},
        "labels": {"owner": "platform"},
        "freezes": [
            {"name": "x", "from": "2026-12-20T00:00:00Z", "to": "2027-01-04T00:00:00Z", "why": "busy"}
        ],
    },
    "overlays/chat/promotion.yaml": {
        "apiVersion": API,
        "kind": "Promotion",
        "metadata": {"name": "chat"},
        "bars": [
            {"workload": "bb0aa4c719d2b3eb8e17", "by": "ann", "since": "2026-11-16T10:00:00Z", "why": "x"}
        ],
        "holds": [
            {"wave": "rest", "cluster": "eu-1", "by": "ann", "since": "2026-11-16T10:00:00Z", "why": "x"}
        ],
        "excused": [
            {
                "cluster": "eu-1",
                "by": "ann",
                "since": "2026-11-16T10:00:00Z",
                "until": "2026-11-17T10:00:00+01:00",
                "why": "x",
            }
        ],
    },
}
UNIONS = ("TOKEN", "x-group", "beta")  # also a text, or a mapping
# Below these, the controller's and Kubernetes' own formats begin.
FOREIGN = ("source", "tolerations", "provider")


def paths(value: Any, at: Path = ()) -> Iterator[Path]:
    """Every place in plain data, except the whole."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        if key not in FOREIGN:
            yield (*at, key)
            yield from paths(item, (*at, key))


def changed(document: Any, path: Path, value: Any) -> Any:
    """A copy with another value at a path; `...` leaves it out."""
    document = copy.deepcopy(document)
    inner = document
    for key in path[:-1]:
        inner = inner[key]
    if value is ...:
        del inner[path[-1]]
    else:
        inner[path[-1]] = value
    return document


def get(document: Any, path: Path) -> Any:
    """The value at a path."""
    for key in path:
        document = document[key]
    return document


@cache
def lines(file: str) -> dict[Path, int]:
    """In which line of the written file each value stands."""
    found: dict[Path, int] = {}

    def visit(node: yaml.Node, at: Path) -> None:
        found[at] = node.start_mark.line + 1
        if isinstance(node, yaml.MappingNode):
            for key, value in node.value:
                visit(value, (*at, key.value))
        elif isinstance(node, yaml.SequenceNode):
            for index, value in enumerate(node.value):
                visit(value, (*at, index))

    visit(yaml.compose(written(FILES[file]), Loader=yaml.SafeLoader), ())
    return found


def written(document: Any) -> str:
    """The document as YAML with a line for each value."""
    return json.dumps(document, indent=1)


@pytest.fixture
def full(repo: Repo) -> Repo:
    """The repository with every field that there is."""
    for file, document in FILES.items():
        repo.write(file, written(document))
    return repo


def lint(repo: Repo, file: str, document: Any) -> Result:
    """What lint says with another content of one file, which is put back."""
    repo.write(file, written(document))
    result = repo.run("lint")
    repo.write(file, written(FILES[file]))
    assert "Traceback" not in result.err, (document, result.err)
    return result


def wrong(value: Any) -> tuple[Any, ...]:
    """Values of other types than this one."""
    if isinstance(value, dict):
        return ["x"], "x", 7
    if isinstance(value, list):
        return {"x": "y"}, 7
    if isinstance(value, bool):
        return "true", 1
    if isinstance(value, int | float):
        return {"x": 1}, "many", True
    return {"x": 1}, ["x"], True


def test_the_documents_are_right(full: Repo) -> None:
    result = full.run("lint")
    wrong = {
        code for code in result.codes if code < "CF300"
    }  # with all fields in use, something is dangerous
    assert (result.code, wrong) == (0, {"CF103"})  # a wave of which the others left nothing


@pytest.mark.parametrize("file", FILES)
def test_a_wrong_type_anywhere(full: Repo, file: str) -> None:
    for turn, path in enumerate(paths(FILES[file])):
        values = wrong(get(FILES[file], path))
        value = ["x"] if path[-1] in UNIONS else values[turn % len(values)]
        result = lint(full, file, changed(FILES[file], path, value))
        assert result.code == 1, (path, value)
        mine = [found for found in result.findings if found.file == file]
        assert lines(file)[path] in {found.line for found in mine}, (path, value, result.err)
        assert {found.code for found in mine} & {"CF030", "CF031", "CF032", "CF033"}, result.err


@pytest.mark.parametrize("file", FILES)
def test_nothing_anywhere(full: Repo, file: str) -> None:
    """`field:` with nothing behind it, `""`, `[]`, `{}`, 0: refused with a place, or as good as left out."""
    for turn, path in enumerate(paths(FILES[file])):
        value = None if turn % 2 else type(get(FILES[file], path))()
        result = lint(full, file, changed(FILES[file], path, value))
        assert result.code in (0, 1), (path, value)
        assert bool(result.code) == bool([found for found in result.findings if ": error " in found.text])


@pytest.mark.parametrize("file", FILES)
def test_far_too_much_anywhere(full: Repo, file: str) -> None:
    for path in paths(FILES[file]):
        present = get(FILES[file], path)
        huge = (
            10**18 if isinstance(present, int | float) else 20_000 * "x" if isinstance(present, str) else None
        )
        if huge is None or isinstance(present, bool):
            continue
        result = lint(full, file, changed(FILES[file], path, huge))
        assert result.code in (0, 1), path
        assert len(result.err) < 10_000, path


@pytest.mark.parametrize("file", FILES)
def test_an_unknown_field_anywhere(full: Repo, file: str) -> None:
    """Its own line is named, and the field that was probably meant."""
    document = copy.deepcopy(FILES[file])
    closed = []
    for path in ((), *paths(document)):
        inner = get(document, path)
        if isinstance(inner, dict) and inner and path[-1:] not in OPEN and path[-2:-1] not in OPEN:
            first = next(iter(inner))
            inner[f"{first}x"] = 1
            closed.append((*path, f"{first}x"))
    result = lint(full, file, document)
    unknown = [found for found in result.findings if found.code == "CF030"]
    assert len(unknown) == len(closed), result.err
    for path in closed:
        meant = str(path[-1]).removesuffix("x")
        assert any(f"unknown field {path[-1]} (did you mean {meant}?)" in found.text for found in unknown), (
            path
        )


# mappings whose keys people choose
OPEN = {
    (key,)
    for key in (
        "ports", "env", "labels", "annotations", "nodeSelector", "limits", "requests", "header", "cookie",
        "parameters", "secrets", "selector", "resources", "variables",
    )
}  # fmt: skip


def test_missing_fields_are_named(full: Repo) -> None:
    required = {
        "specs/chat/canary.yaml": [("metadata", "name"), ("version",), ("workload",), ("waves",)],
        "clusters/eu-1.yaml": [("kind",), ("metadata", "name")],
        "fleet.yaml": [("apiVersion",), ("freezes", 0, "from")],
        "overlays/chat/promotion.yaml": [("bars", 0, "why"), ("holds", 0, "by"), ("excused", 0, "cluster")],
    }
    for file, missing in required.items():
        for path in missing:
            result = lint(full, file, changed(FILES[file], path, ...))
            text = " ".join(found.text for found in result.findings if found.file == file)
            assert f"needs `{path[-1]}`" in text, (path, result.err)


@pytest.mark.parametrize(
    ("old", "new", "said", "unsaid"),
    [
        ("weight: 10%", "weight: 150%", "such as 5%", "quote it"),
        ("weight: 10%", "weight: 5", "such as 5%", "quote it"),
        ("for: 5m", "for: 10 minutes", "such as 10m", "quote it"),
        ("rollbackAbove: 1%", "comparedTo: stable, test: {alpha: 5}", "such as 1%", "quote it"),
        ("version: 1.0.0", "version: 1.0", "quote it", "such as 1%"),
        ("istio/error-rate", "istio/xyzzy", "known: istio/client-error-rate, ", "arize/"),
        ("rollbackAbove: 1%", "rollbackAbove: 0.1%", "at once", "bakes"),
    ],
)
def test_what_is_said_is_what_to_write(repo: Repo, old: str, new: str, said: str, unsaid: str) -> None:
    repo.replace("specs/chat/canary.yaml", old, new)
    repo.replace("specs/chat/canary.yaml", "{name: rest}", "{name: rest, minSuccessTime: 1h}")
    result = repo.refused("lint")
    assert said in result.err
    assert unsaid not in result.err
    assert len(result.findings) == 1, "an error is said once, and nothing that only follows from it"

"""Text of the spec reaches generated files as text, and never as a part of them."""

import copy
import shutil
from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from driver import SPEC, Repo, Result

from canaryfleet.manifests import sort_key
from canaryfleet.syntax import parse_stream
from support import canonical, kustomized

# Each would do harm if it were pasted instead of quoted.
HOSTILE = {
    "a new line and a key": "x\n  evil: true\n# y: z",
    "a document": "x\n---\nkind: Evil",
    "quotes": '", "evil": true, \' \\',
    "flow": "{evil: [true",
    "an anchor": "*evil &evil !evil",
    "templates": "{{args.evil}} {{ .Values.evil }}",
    "a shell": "$(rm -rf /) `id` ; | & > x",
    "unknown variables": "$(cluster.evil) $(secret.evil)",
    "spaces": "\t x \r\n\n",
    "words of YAML": "on",
    "a number": "0x10",
    "other alphabets": "\u043f\u0440\u0438\u0432\u0435\u0442 \U0001f600 \u4f60\u597d\u2028",
    "a control character": "a\x07b",
    "a deleted character": "a\x7fb",
}
REFUSED = {
    "a deleted character",
    "unknown variables",
}  # kustomize would lose the one; no cluster has the other
# Every place of free text, as a path in the spec.
SPOTS: dict[str, tuple[Any, ...]] = {
    "args": ("workload", "args", 0),
    "env": ("workload", "env", "NOTE"),
    "annotations": ("workload", "annotations", "note"),
    "model name": ("workload", "model", "name"),
    "model uri": ("workload", "model", "uri"),
    "image": ("workload", "image"),
    "probe": ("workload", "readiness", "path"),
    "volume": ("workload", "volumes", 0, "source", "hostPath", "path"),
    "mount": ("workload", "promptsDir"),
    "host": ("exposure", "hosts", 0),
    "gateway": ("exposure", "gateways", 0),
    "header": ("exposure", "steps", 0, "header", "x-group"),
    "cookie": ("exposure", "steps", 1, "cookie", "beta"),
    "session": ("exposure", "sticky", "cookie"),
    "retries": ("exposure", "retries", "retryOn"),
    "query": ("analysis", "metrics", 1, "query"),
    "parameter": ("analysis", "metrics", 0, "parameters", "reporter"),
    "url": ("analysis", "metrics", 2, "provider", "web", "url"),
    "value": ("analysis", "metrics", 2, "value"),
    "secret": ("analysis", "metrics", 2, "secrets", "token", "secret"),
    "wave": ("waves", 3, "name"),
    "selector": ("waves", 1, "selector", "region"),
    "seed": ("waves", 2, "seed"),
    "override": ("overrides", 0, "env", "NOTE"),
    "node": ("overrides", 0, "nodeSelector", "gpu"),
    "address": ("overrides", 0, "metrics", "prometheus"),
    "notify": ("rollback", "notify", 0),
}


@pytest.fixture(scope="module")
def spec() -> dict[str, Any]:
    """A spec that has all of `SPOTS`."""
    data: dict[str, Any] = yaml.safe_load(SPEC)
    work, exposure = data["workload"], data["exposure"]
    work |= {"args": ["x"], "env": {"NOTE": "x"}, "annotations": {"note": "x"}, "promptsDir": "/prompts"}
    work |= {"model": {"name": "x", "version": "1", "uri": "x"}, "readiness": {"path": "/"}}
    work["volumes"] = [{"name": "v", "mountPath": "/v", "source": {"hostPath": {"path": "/x"}}}]
    exposure["steps"] = [
        {"header": {"x-group": "x"}, "for": "5m"},
        {"cookie": {"beta": "x"}, "for": "5m"},
        {"weight": "10%", "for": "5m"},
    ]
    exposure |= {"sticky": {"cookie": "session"}, "retries": {"attempts": 1, "retryOn": "reset"}}
    web = {"web": {"url": "https://x.example/$(secret.token)", "jsonPath": "{$.x}"}}
    bounds = {"promoteAbove": 1, "rollbackBelow": 0}
    data["analysis"]["metrics"][0]["parameters"] = {"reporter": "destination"}
    data["analysis"]["metrics"] += [
        {"name": "q", "query": "max(x)", **bounds},
        {"name": "w", "provider": web, "value": "asFloat(result)", **bounds},
    ]
    data["analysis"]["metrics"][2]["secrets"] = {"token": {"secret": "api", "key": "token"}}
    data["waves"] = [
        {"name": "first", "clusters": ["eu-1"]},
        {"name": "eu", "selector": {"region": "eu"}},
        {"name": "part", "share": "50%", "seed": ""},
        {"name": "rest"},
    ]
    data["overrides"] = [
        {"clusters": ["eu-1"], "env": {"NOTE": "z"}, "nodeSelector": {"gpu": "x"}, "metrics": {"prometheus": "http://x:1"}}
    ]  # fmt: skip
    data["rollback"] = {"notify": ["x"]}
    return data


def changed(data: Any, path: tuple[Any, ...], value: str) -> Any:
    """A copy with another text at a path."""
    data = copy.deepcopy(data)
    inner = data
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    return data


def strings(value: Any) -> Iterator[str]:
    """Every text in plain data, keys included."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield str(key)
            yield from strings(item)
    elif isinstance(value, list):
        for item in value:
            yield from strings(item)
    elif isinstance(value, str):
        yield value


def lint(repo: Repo, data: Any) -> Result:
    """What lint says of a spec, which is written with escapes where YAML needs them."""
    repo.write("specs/chat/canary.yaml", yaml.safe_dump(data, allow_unicode=False, sort_keys=False))
    result = repo.run("lint")
    assert result.code in (0, 1), result.err
    return result


def test_the_spec_is_right(repo: Repo, spec: dict[str, Any]) -> None:
    result = lint(repo, spec)
    wrong = {
        code for code in result.codes if code < "CF300"
    }  # some of it is dangerous, which is not asked here
    assert (result.code, wrong) == (0, {"CF103"}), result.err


@pytest.mark.parametrize("case", HOSTILE)
def test_text_stays_text(repo: Repo, spec: dict[str, Any], case: str) -> None:
    """Each place refuses it, with its line, or gets it as it is; to kustomize and to us it reads the same."""
    text, data, taken = HOSTILE[case], spec, []
    for name, path in SPOTS.items():
        tried = changed(data, path, text)
        result = lint(repo, tried)
        if result.code == 0:
            data, taken = tried, [*taken, name]
        else:
            assert all(found.file == "specs/chat/canary.yaml" and found.line for found in result.findings), (
                name
            )
    assert {"env", "notify"} <= set(taken) or case in REFUSED
    lint(repo, data)
    kinds = []
    for content in (data, spec):
        lint(repo, content)
        assert repo.run("render").code == 0
        assert repo.run("point", "chat", "--wave", "first").code == 0
        built = sorted(parse_stream(repo.run("build", "chat", "eu-1").out.encode(), "built"), key=sort_key)
        assert canonical(built) == canonical(kustomized(repo.root, "overlays/chat/clusters/eu-1"))
        assert "evil" not in {word for item in built for word in strings(item)}
        kinds.append([item["kind"] for item in built])
        shutil.rmtree(repo.root / "overlays")
    assert kinds[0] == kinds[1], taken


def test_files_reach_the_pods_as_they_are(repo: Repo) -> None:
    contents = {f"{number}.md": text for number, text in enumerate(HOSTILE.values())}
    lost = next(name for name, text in contents.items() if "\x7f" in text)
    for name, text in contents.items():
        repo.write(f"specs/chat/{name}", text)
    repo.replace("specs/chat/canary.yaml", "[system.md]", f"[{', '.join(contents)}]")
    (refused,) = repo.refused("render").findings
    assert (refused.line, refused.code) == (8, "CF115")
    assert lost in refused.text
    repo.write(f"specs/chat/{lost}", "")
    contents[lost] = ""
    assert repo.run("render").code == 0
    assert repo.run("point", "chat", "--wave", "pilot").code == 0
    (prompts,) = [
        item for item in kustomized(repo.root, "overlays/chat/clusters/eu-1") if item["kind"] == "ConfigMap"
    ]
    assert prompts["data"] == contents

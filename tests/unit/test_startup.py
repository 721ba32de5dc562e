"""Which modules a command imports: the plugin and the command line start thousands of times."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SHOW = """
import contextlib, io, json, sys
before = set(sys.modules)
from canaryfleet.cli import main
with contextlib.redirect_stdout(io.TextIOWrapper(io.BytesIO())), contextlib.redirect_stderr(io.StringIO()):
    code = main(sys.argv[1:])
print(json.dumps([code, sorted(set(sys.modules) - before)]))
"""
# What `typing` and `re` bring along, on any Python that is supported.
LIGHT = {
    "annotationlib", "ast", "collections", "contextlib", "copyreg", "enum", "functools", "itertools", "keyword",
    "math", "operator", "re", "reprlib", "string", "types", "typing", "warnings",
}  # fmt: skip
CALLS = {"errno", "fcntl", "stat"}  # the operating system's, in C


def imported(*arguments: str, folder: Path = ROOT) -> set[str]:
    """The modules that a command imports beside those of this probe."""
    command = [sys.executable, "-c", SHOW, *arguments]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
    code, modules = json.loads(done.stdout)
    assert code == 0
    return set(modules)


def standard(modules: set[str]) -> set[str]:
    """The public packages of the standard library among them."""
    heads = {name.partition(".")[0] for name in modules}
    return {name for name in heads & sys.stdlib_module_names if not name.startswith("_")}


def foreign(modules: set[str]) -> set[str]:
    """Packages that are neither ours nor the standard library's; not what these keep for themselves."""
    heads = {name.partition(".")[0] for name in modules if not name.startswith("_")}
    return heads - sys.stdlib_module_names - {"canaryfleet"}


def ours(modules: set[str]) -> set[str]:
    """Our own modules, without the package's name."""
    return {name.removeprefix("canaryfleet.") for name in modules if name.startswith("canaryfleet.")}


def test_version_imports_next_to_nothing() -> None:
    modules = imported("--version")
    assert ours(modules) == {"cli", "errors"}
    assert standard(modules) <= LIGHT
    assert not foreign(modules)


@pytest.mark.parametrize("root", [(), ("--root", str(ROOT))])
def test_build_imports_neither_models_nor_yaml_nor_argparse(root: tuple[str, ...]) -> None:
    modules = imported("build", *root, "assistant", "eu-west-1a")
    assert ours(modules) == {
        "cli", "commands", "commands.arguments", "commands.build", "commands.outcome", "emit", "errors", "files", "generated", "manifests",
        "patterns",
    }  # fmt: skip
    assert standard(modules) <= LIGHT | CALLS
    assert not foreign(modules)


def test_the_plugin_imports_no_more_than_build() -> None:
    modules = imported("cmp", "generate", folder=ROOT / "overlays/assistant/clusters/eu-west-1a")
    assert ours(modules) == {
        "cli", "commands", "commands.arguments", "commands.cmp", "commands.outcome", "emit", "errors", "files", "generated", "manifests",
        "patterns", "plugin",
    }  # fmt: skip
    assert standard(modules) <= LIGHT | CALLS
    assert not foreign(modules)


def test_lint_imports_no_more_than_a_clean_repository_needs() -> None:
    modules = imported("lint", "embeddings")
    assert foreign(modules) <= {"msgspec", "yaml", "typing_extensions", "cython_runtime"}
    assert not {"annotations", "check", "kustomize", "sarif", "schema", "staged"} & ours(modules)


def test_status_imports_neither_renderer_nor_sources_that_it_does_not_ask() -> None:
    modules = imported("status", "--snapshot", "none.json")
    assert foreign(modules) <= {"msgspec", "yaml", "typing_extensions", "cython_runtime"}
    heads = {name.partition(".")[0] for name in ours(modules)}
    # git is asked when pointers moved: a verdict takes no older evidence
    assert not {"check", "freeze", "kustomize", "lint", "point", "render", "schema", "signing"} & heads
    assert not any(name.startswith("engines.argo_rollouts.validate") for name in ours(modules))
    assert {name for name in ours(modules) if name.startswith("sources")} == {"sources", "sources.snapshot"}


def test_the_page_imports_no_sources_that_it_does_not_ask(tmp_path: Path) -> None:
    (tmp_path / "none.json").write_text(
        '{"apiVersion": "canaryfleet.dev/v1alpha1", "kind": "Snapshot", "sightings": []}'
    )
    modules = imported("report", "html", "embeddings", "--snapshot", str(tmp_path / "none.json"))
    assert foreign(modules) <= {"msgspec", "yaml", "typing_extensions", "cython_runtime"}
    assert not {"kustomize", "render", "schema", "signing", "act", "reconcile"} & ours(modules)
    assert {name for name in ours(modules) if name.startswith("sources")} == {"sources", "sources.snapshot"}
    assert not any(name.startswith("forges.") for name in ours(modules))


def test_status_does_not_import_the_page() -> None:
    assert not {"page", "overview", "situation", "decide"} & ours(
        imported("status", "--snapshot", "none.json")
    )


def test_a_code_is_explained_by_next_to_nothing() -> None:
    modules = imported("explain", "CF301")
    assert foreign(modules) <= {"yaml", "cython_runtime"}
    assert not {"explain", "git", "record", "repo"} & ours(modules)
    assert not any(name.startswith("models") for name in ours(modules))


def test_explain_imports_no_renderer_and_no_forge_that_it_does_not_ask(tmp_path: Path) -> None:
    from canaryfleet import record
    from canaryfleet.decide import decide
    from world import World

    read = World(()).look()
    (tmp_path / "record").write_bytes(record.encode(record.of(read, decide(read))).data)
    modules = imported("explain", str(tmp_path / "record"))
    assert not {"check", "freeze", "kustomize", "lint", "point", "render", "schema", "signing"} & ours(
        modules
    )
    assert not any(name.startswith(("forges.", "sources.")) for name in ours(modules))


def test_presets_imports_the_tree_only_for_an_app() -> None:
    modules = imported("presets", "show", "vllm/queue")
    assert foreign(modules) <= {"msgspec", "yaml", "typing_extensions", "cython_runtime"}
    assert not {"files", "git", "kustomize", "lint", "render", "repo", "schema"} & ours(modules)
    assert "presets" in ours(modules)


def test_init_of_a_pinned_image_asks_no_registry_and_reads_no_manifest_of_others(tmp_path: Path) -> None:
    image = "acme/search@sha256:" + "ab" * 32
    modules = imported("init", "search", "--image", image, "--cluster", "a", "--root", str(tmp_path))
    assert foreign(modules) <= {"msgspec", "yaml", "typing_extensions", "cython_runtime"}
    assert not {"check", "kustomize", "point", "status"} & ours(modules)
    assert not {"http", "ssl"} & standard(modules)


def test_pin_check_asks_no_registry_and_renders_nothing() -> None:
    modules = imported("pin", "--check", "--root", str(ROOT))
    assert foreign(modules) <= {"msgspec", "yaml", "typing_extensions", "cython_runtime"}
    assert not {"registry", "lint", "render", "freeze"} & ours(modules)
    assert not {"http", "ssl"} & standard(modules)


def test_completion_of_names_imports_neither_models_nor_yaml() -> None:
    modules = imported("__complete", "status", "--root", str(ROOT), "")
    assert ours(modules) == {
        "cli", "commands", "commands.arguments", "commands.complete", "commands.status", "commands.outcome", "errors",
    }  # fmt: skip
    assert not foreign(modules)


PLAN = {
    "child", "cli", "commands", "commands.arguments", "commands.outcome", "commands.plan", "decode",
    "digest", "emit", "engines", "engines.argo_rollouts", "engines.argo_rollouts.course", "errors",
    "files", "generated", "git", "inputs", "live", "manifests", "models", "models.base",
    "models.canary", "models.cluster", "models.decision", "models.fleet", "models.observation",
    "models.plan", "models.promotion", "models.release", "nearest", "outlook", "output", "overlay",
    "patterns", "phrases", "plan", "pointing", "quantity", "repo", "schedule", "stale", "syntax", "takes",
    "variables", "waves", "workload", "workload.base", "workload.config", "workload.image",
    "workload.objects", "workload.pod",
}  # fmt: skip


def test_plan_imports_exactly_what_it_needs() -> None:
    modules = imported("plan")
    assert ours(modules) == PLAN
    assert foreign(modules) <= {"msgspec", "yaml", "typing_extensions", "cython_runtime"}


def test_forecast_imports_neither_git_history_nor_sources() -> None:
    modules = imported("forecast", "mcp-tools", "--runs", "1")
    assert not {
        "check",
        "freeze",
        "kustomize",
        "lint",
        "past",
        "render",
        "schema",
        "situation",
        "status",
    } & ours(modules)
    assert foreign(modules) <= {"msgspec", "yaml", "typing_extensions", "cython_runtime"}


def test_diff_imports_no_engine_check_and_no_forge() -> None:
    modules = imported("diff", "--from", "HEAD", "embeddings")
    assert foreign(modules) <= {"msgspec", "yaml", "typing_extensions", "cython_runtime"}
    assert not {"check", "kustomize", "schema", "situation", "sources", "forges"} & ours(modules)


def test_review_by_hand_asks_no_forge_and_no_cluster() -> None:
    modules = imported("review", "--base", "HEAD", "--runs", "1")
    assert foreign(modules) <= {"msgspec", "yaml", "typing_extensions", "cython_runtime"}
    assert not {"act", "actions", "annotations", "reconcile", "sarif", "schema", "writeback"} & ours(modules)
    assert not any(name.startswith(("forges.", "sources.")) for name in ours(modules))

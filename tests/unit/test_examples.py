"""The example fleet of this repository is current, and shows what it is there to show."""

from pathlib import Path

import pytest

from canaryfleet import kustomize, repo
from canaryfleet.check import check
from canaryfleet.files import Tree
from canaryfleet.manifests import Builder, sort_key
from canaryfleet.render import Known, know, render
from canaryfleet.syntax import parse_stream

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def known() -> Known:
    return know(Tree(ROOT))


def test_the_tree_is_what_canaryfleet_writes(known: Known) -> None:
    proof = check(known)
    assert [str(finding) for finding in proof.findings] == []
    assert proof.waiting == []
    assert proof.overlays >= 40


def test_rendering_again_changes_nothing(known: Known) -> None:
    changes = render(known).changes
    assert [path for path, data in changes.writes.items() if (ROOT / path).read_bytes() != data] == []
    assert changes.deletes == frozenset()


def test_waves_and_fallbacks_are_seen(known: Known) -> None:
    assistant = repo.load_app(known.tree, "assistant")
    assert len({pointer.release for pointer in assistant.pointers.values()}) == 2
    assert any(pointer.fallback for pointer in assistant.pointers.values())


def test_the_fleet_is_varied(known: Known) -> None:
    assert len(known.repository.clusters) >= 12
    assert len({item.metadata.labels["region"] for item in known.repository.clusters.values()}) == 3
    assert len({item.capacity for item in known.repository.clusters.values()}) > 3
    strategies = {
        repo.release(known.tree, app, item.release.id).strategy for app, item in known.frozen.items()
    }
    assert strategies == {"canary", "blueGreen"}


@pytest.mark.parametrize("app", ["assistant", "embeddings", "fraud", "mcp-tools"])
def test_kustomize_builds_the_same_objects(known: Known, app: str) -> None:
    tool, builder = kustomize.find(), Builder(known.tree.read)
    for cluster in known.tree.list(f"overlays/{app}/clusters"):
        path = f"overlays/{app}/clusters/{cluster}"
        built = parse_stream(kustomize.build(tool, known.tree.root, path), path)
        assert sorted(built, key=sort_key) == builder.build(path), path

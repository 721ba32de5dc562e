"""Manifests that people take over from elsewhere with `init`: a right repository, or a finding and nothing written."""

import os
from pathlib import Path
from typing import Any

import pytest
import yaml
from hostile import altered, as_json, ends, spoiled, tried
from hypothesis import given
from hypothesis import strategies as st
from test_init import FLAGGER, LIVE, PINNED

WORDS = [
    "--name",
    "acme",
    "--prometheus",
    "http://p",
    "--cluster",
    "eu-1",
    "--gateway",
    "istio-ingress/public",
    "--yes",
    "--unpinned",
    "--mutable",
]
DOCUMENTS = [*yaml.safe_load_all(FLAGGER), *yaml.safe_load_all(PINNED)]
TEMPLATE: Any = {
    "apiVersion": "flagger.app/v1beta1", "kind": "MetricTemplate", "metadata": {"name": "m", "namespace": "shop"},
    "spec": {"provider": {"type": "prometheus", "address": "http://p"}, "query": "sum(rate(x{ns=\"{{ namespace }}\"}[{{ interval }}]))"},
}  # fmt: skip


@st.composite
def manifests(draw: st.DrawFn) -> bytes:
    """Manifests, one after the other, with changes."""
    documents = draw(altered([*DOCUMENTS, TEMPLATE], most=4))
    if not isinstance(documents, list):
        return as_json(documents)
    whole = b"\n---\n".join(map(as_json, documents))
    return draw(st.just(whole) | spoiled(whole))


@pytest.mark.parametrize("option", ["--from-flagger", "--from-deployment"])
@tried(7)
@given(data=st.data())
def test_any_manifests(tmp_path_factory: pytest.TempPathFactory, option: str, data: st.DataObject) -> None:
    folder = tmp_path_factory.mktemp("init")
    written = data.draw(
        manifests() | st.sampled_from([LIVE, PINNED, FLAGGER]).flatmap(lambda text: spoiled(text.encode()))
    )
    (folder / "given.yaml").write_bytes(written)
    (folder / "fleet").mkdir()
    words = ["init", "web", option, str(folder / "given.yaml"), "--root", str(folder / "fleet"), *WORDS]
    result = ends(*words)
    assert sorted(os.listdir(folder)) == ["fleet", "given.yaml"]
    assert not [path for path in (folder / "fleet").rglob("*") if path.is_symlink()]
    if result.code:
        assert not list((folder / "fleet").iterdir()), result.err
    else:
        secret = [path for path in files(folder) if b"c2VjcmV0" in path.read_bytes()]
        assert not secret
        ends("lint", "--root", str(folder / "fleet"), codes=(0, 1))


def files(folder: Path) -> list[Path]:
    return [path for path in (folder / "fleet").rglob("*") if path.is_file()]

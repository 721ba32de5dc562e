"""The SBOM, CycloneDX 1.6 as JSON: what an installed canaryfleet runs, with licences and the hashes of the lock.

cyclonedx-py lists an environment: components, licences, who needs whom. What it can't know is added here: the version
and the wheel of canaryfleet itself, and which files of each component the lock allows. Addresses are left out but for
home page and source: a component is identified by its purl and its hashes, wherever it was downloaded.
"""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

from release.build import ROOT, epoch, version

SPECIFICATION = "1.6"
_PINNED = re.compile(r"^(?P<name>[A-Za-z0-9._-]+)==(?P<version>[^\s;\\]+)")
_HASH = re.compile(r"--hash=sha256:([0-9a-f]{64})")
_KEPT = ("website", "vcs")


def bom(python: Path, wheel: Path, locked: str) -> str:
    """The SBOM of the environment of `python`, in which `wheel` is installed. `locked`: the text of run.txt.

    Raises ValueError if a component is not in the lock, has no licence, or the result is no CycloneDX.
    """
    found = _listed(python)
    root = found["metadata"]["component"]
    own = {"name": root["name"], "version": version()}
    _identify(found, own | {"purl": f"pkg:pypi/{own['name']}@{own['version']}"})
    root["hashes"] = [_hash(sha256(wheel.read_bytes()).hexdigest())]
    hashes = dict(_locked(locked))
    for component in found["components"]:
        key = _key(component["name"], component["version"])
        if key not in hashes:
            raise ValueError(f"{key} is installed, and not locked in requirements/run.txt")
        if not component.get("licenses"):
            raise ValueError(f"{key} says nothing of its licence")
        component["hashes"] = [_hash(each) for each in hashes[key]]
    for described in (root, *found["components"], *found["metadata"]["tools"]["components"]):
        _keep_addresses(described)
    text = json.dumps(found, indent=2, ensure_ascii=False) + "\n"
    validate(text)
    return text


def validate(text: str) -> None:
    """Raises ValueError unless the text follows the specification's own JSON Schema, which the library brings."""
    from cyclonedx.schema import SchemaVersion
    from cyclonedx.validation.json import JsonStrictValidator

    wrong = JsonStrictValidator(SchemaVersion.from_version(SPECIFICATION)).validate_str(text)
    if wrong is not None:
        raise ValueError(f"this is no CycloneDX {SPECIFICATION}: {wrong}")


def _listed(python: Path) -> dict[str, Any]:
    tool = [sys.executable, "-m", "cyclonedx_py", "environment", "--output-reproducible"]
    what = ["--spec-version", SPECIFICATION, "--pyproject", str(ROOT / "pyproject.toml"), str(python)]
    environment = os.environ | {"SOURCE_DATE_EPOCH": epoch()}
    done = subprocess.run([*tool, *what], env=environment, check=True, stdout=subprocess.PIPE)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def _identify(found: dict[str, Any], own: Mapping[str, str]) -> None:
    """Give the root its version, and a reference by which other documents can name it."""
    root, reference = found["metadata"]["component"], own["purl"]
    for entry in found["dependencies"]:
        if entry["ref"] == root["bom-ref"]:
            entry["ref"] = reference
    root |= {**own, "bom-ref": reference}


def _locked(text: str) -> Iterator[tuple[str, list[str]]]:
    for entry in text.replace("\\\n", " ").splitlines():
        pinned = _PINNED.match(entry)
        if pinned:
            yield _key(pinned["name"], pinned["version"]), _HASH.findall(entry)


def _key(name: str, version: str) -> str:
    """As package indexes compare names: PEP 503."""
    return f"{re.sub(r'[-_.]+', '-', name).lower()} {version}"


def _hash(digest: str) -> dict[str, str]:
    return {"alg": "SHA-256", "content": digest}


def _keep_addresses(component: dict[str, Any]) -> None:
    kept = [each for each in component.pop("externalReferences", ()) if each["type"] in _KEPT]
    if kept:
        component["externalReferences"] = kept

"""Wheel and sdist: what is in them, and that whoever makes them from this commit gets the same bytes."""

import os
import subprocess
import tarfile
import zipfile
from email import message_from_bytes
from hashlib import sha256
from pathlib import Path

import pytest
from release import build

from conftest import DIST

PACKAGE = "generator/"
SOURCES = ("generator/", "schemas/")
SINGLE = {"requirements/run.txt", "CHANGELOG.md", "LICENSE", "README.md", "pyproject.toml", ".gitignore"}
HEAD = f"canaryfleet-{build.version()}"


def test_the_wheel_has_the_package_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as opened:
        there = set(opened.namelist())
    package = {path.removeprefix(PACKAGE) for path in build.tracked() if path.startswith(PACKAGE)}
    about = {f"{HEAD}.dist-info/{name}" for name in ("METADATA", "WHEEL", "RECORD", "entry_points.txt")}
    assert there == package | about | {f"{HEAD}.dist-info/licenses/LICENSE"}
    for part in ("codes/advice.yaml", "presets/istio.yaml", "page/style.css", "page/script.js", "py.typed"):
        assert f"canaryfleet/{part}" in there


def test_the_sdist_has_what_the_wheel_is_made_of_and_nothing_else(sdist: Path) -> None:
    with tarfile.open(sdist) as opened:
        there = {member.name.removeprefix(f"{HEAD}/") for member in opened}
    assert there == {path for path in build.tracked() if path.startswith(SOURCES)} | SINGLE | {"PKG-INFO"}


def test_the_metadata_say_what_a_resolver_needs(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as opened:
        found = message_from_bytes(opened.read(f"{HEAD}.dist-info/METADATA"))
        entry = opened.read(f"{HEAD}.dist-info/entry_points.txt").decode()
    assert found["Version"] == build.version()
    assert found["Requires-Python"] == ">=3.11"
    assert found["License-Expression"] == "Apache-2.0"
    assert found.get_all("Provides-Extra") == ["github-app", "otel"]
    assert entry.split() == ["[console_scripts]", "canaryfleet", "=", "canaryfleet.cli:run"]


def test_who_builds_the_commit_elsewhere_gets_the_same_bytes(
    tmp_path: Path, wheel: Path, sdist: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = os.umask(0o077)
    try:
        source = build.exported(tmp_path / "another place")
    finally:
        os.umask(before)
    for number, path in enumerate(sorted(source.rglob("*"), reverse=True)):
        os.utime(path, (number, number))
    left = source / "an-environment" / "schemas"
    left.mkdir(parents=True)
    (left / "draft3.json").write_text("{}")
    monkeypatch.setenv("TZ", "Pacific/Kiritimati")
    monkeypatch.setenv("LC_ALL", "C")
    monkeypatch.setenv("PYTHONHASHSEED", "7")
    again = build.build(source, tmp_path / "out", "wheel", "sdist")
    assert {each.name: each.read_bytes() for each in again} == {
        each.name: each.read_bytes() for each in (wheel, sdist)
    }


def test_the_wheel_of_the_sdist_is_the_wheel(tmp_path: Path, wheel: Path, sdist: Path) -> None:
    with tarfile.open(sdist) as opened:
        opened.extractall(tmp_path, filter="data")
    (made,) = build.build(tmp_path / HEAD, tmp_path / "out", "wheel")
    assert (made.name, made.read_bytes()) == (wheel.name, wheel.read_bytes())


def test_the_checksums_are_those_of_all_that_is_there() -> None:
    listed = dict(reversed(line.split("  ")) for line in (DIST / "SHA256SUMS").read_text().splitlines())
    there = {each.name: sha256(each.read_bytes()).hexdigest() for each in DIST.iterdir()}
    del there["SHA256SUMS"]
    assert listed == there
    assert {Path(name.removeprefix(HEAD)).suffix for name in there} == {".whl", ".gz", ".json", ".txt"}


def test_the_changelog_knows_the_version() -> None:
    versions = [line for line in (build.ROOT / "CHANGELOG.md").read_text().splitlines() if line[:3] == "## "]
    assert versions[0].startswith(f"## {build.version()} (")


def test_the_release_is_of_a_commit() -> None:
    head = subprocess.run(
        ["git", "log", "-1", "--format=%ct"], cwd=build.ROOT, capture_output=True, check=True
    )
    with zipfile.ZipFile(next(DIST.glob("*.whl"))) as opened:
        years = {item.date_time[0] for item in opened.infolist()}
    assert years == {int(subprocess.check_output(["date", "-u", "-d", f"@{int(head.stdout)}", "+%Y"]))}

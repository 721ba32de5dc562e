"""Findings as SARIF 2.1.0 (OASIS), in the subset that code scanning of GitHub and others reads."""

import re
from collections import Counter
from collections.abc import Sequence
from typing import Any
from urllib.parse import quote

from canaryfleet import codes
from canaryfleet.digest import sha256
from canaryfleet.errors import Finding, one_line

SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
ROOT = "%SRCROOT%"
MOST = 25_000  # results of a run that GitHub takes


def log(findings: Sequence[Finding], version: str, folder: str = "") -> dict[str, Any]:
    """One run with all findings, errors first. `folder`: where the repository's root is in its Git's, `fleet/`."""
    worst = sorted(findings, key=lambda item: (item.severity, item))[:MOST]
    used = sorted({item.code for item in worst})
    driver = {"name": "canaryfleet", "semanticVersion": version, "rules": [_rule(code) for code in used]}
    seen: Counter[str] = Counter()
    results = [_result(item, used.index(item.code), folder, seen) for item in worst]
    run = {"tool": {"driver": driver}, "columnKind": "unicodeCodePoints", "results": results}
    return {"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}


def _rule(code: str) -> dict[str, Any]:
    found = codes.find(code)
    if found is None:
        return {"id": code}
    return {
        "id": code,
        "shortDescription": {"text": found.title},
        "fullDescription": {"text": found.why},
        "help": {"text": f"{found.why}\n\n{found.remedy}", "markdown": codes.markdown(found)},
        "defaultConfiguration": {"level": "warning" if code.startswith("CF3") and found.warns else "error"},
    }


def _result(finding: Finding, rule: int, folder: str, seen: Counter[str]) -> dict[str, Any]:
    remedy = f" ({finding.remedy})" if finding.remedy else ""
    region = {"startLine": max(1, finding.place.line), "startColumn": max(1, finding.place.column)}
    uri = quote(folder + finding.place.file, errors="surrogateescape")  # the bytes of a name that is no UTF-8
    where = {"uri": uri, "uriBaseId": ROOT}
    return {
        "ruleId": finding.code,
        "ruleIndex": rule,
        "level": finding.severity,
        "message": {"text": one_line(finding.message + remedy)},
        "locations": [{"physicalLocation": {"artifactLocation": where, "region": region}}],
        "partialFingerprints": {"primaryLocationLineHash": _fingerprint(finding, seen)},
    }


def _fingerprint(finding: Finding, seen: Counter[str]) -> str:
    """The same wherever its line moves, and whatever its numbers become; equal ones are counted.

    GitHub knows a finding again by this name of a fingerprint, with the rule and the file.
    """
    said = f"{finding.code} {re.sub('[0-9]+', '0', finding.message)}"
    same = sha256(said.encode(errors="surrogateescape"))[:16]
    key = f"{finding.place.file} {same}"
    seen[key] += 1
    return f"{same}:{seen[key]}"

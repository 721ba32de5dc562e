"""Findings as GitHub's workflow commands: annotations beside the lines of a pull request."""

from collections.abc import Sequence

from canaryfleet import codes
from canaryfleet.errors import ERROR, Finding, one_line

SHOWN = 10  # errors, and as many warnings, that GitHub shows of a step


def chosen(findings: Sequence[Finding]) -> list[Finding]:
    """Those that GitHub shows: the first errors, then the first warnings."""
    errors = sorted(item for item in findings if item.severity == ERROR)
    warnings = sorted(item for item in findings if item.severity != ERROR)
    return [*errors[:SHOWN], *warnings[:SHOWN]]


def command(finding: Finding, folder: str = "") -> str:
    """One line that GitHub's runner makes an annotation of. `folder`: of the root in its Git's, `fleet/`."""
    place, found = finding.place, codes.find(finding.code)
    properties = {"file": folder + place.file}
    if place.line:
        properties |= {"line": str(place.line), "col": str(place.column)}
    properties["title"] = f"{finding.code}: {found.title}" if found else finding.code
    given = ",".join(f"{name}={_property(one_line(value))}" for name, value in properties.items())
    remedy = f" ({finding.remedy})" if finding.remedy else ""
    return f"::{finding.severity} {given}::{_data(one_line(finding.message + remedy))}"


def _data(text: str) -> str:
    """Escaped as the runner unescapes a message."""
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    """Escaped as the runner unescapes a property."""
    return _data(text).replace(":", "%3A").replace(",", "%2C")

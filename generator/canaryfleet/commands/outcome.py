"""How a command ends: what it found, as text or JSON, and its exit code."""

import sys
from collections.abc import Sequence

from canaryfleet.errors import ERROR, EXIT_FINDINGS, EXIT_OK, Finding


def show(findings: Sequence[Finding], as_json: bool) -> None:
    """Findings as JSON on standard output, or as text on standard error."""
    from canaryfleet import output

    if as_json:
        output.print_json({"findings": [output.finding_data(item) for item in sorted(findings)]})
    else:
        output.findings_text(findings, sys.stderr)


def give(text: str) -> None:
    """Print all of what another program reads, or raise.

    Python itself forgets the rest of a write that was cut short (the reader has gone, the container was frozen) where
    PYTHONUNBUFFERED is set, as it is in many images: half of the objects, and exit 0.
    """
    data = text.encode()
    while data:
        data = data[sys.stdout.buffer.write(data) :]
    sys.stdout.flush()


def code(findings: Sequence[Finding]) -> int:
    """The exit code: warnings alone are fine."""
    return EXIT_FINDINGS if any(finding.severity == ERROR for finding in findings) else EXIT_OK

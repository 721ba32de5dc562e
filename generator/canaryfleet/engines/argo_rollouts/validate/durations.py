"""Durations as Go reads them."""

import re
from decimal import Decimal

_GO_PART = r"(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:ns|us|µs|μs|ms|s|m|h)"
_GO_DURATION = re.compile(rf"[-+]?(?:{_GO_PART})+")
_GO_UNITS = {
    "ns": Decimal("1e-9"),
    "us": Decimal("1e-6"),
    "µs": Decimal("1e-6"),
    "μs": Decimal("1e-6"),
    "ms": Decimal("0.001"),
    "s": Decimal(1),
    "m": Decimal(60),
    "h": Decimal(3600),
}


def go_duration_seconds(text: str) -> Decimal | None:
    """Seconds of a duration as Go's time.ParseDuration reads it; None if it is none (`1d`, ``)."""
    if text in ("0", "+0", "-0"):
        return Decimal(0)
    if len(text) > 60 or not _GO_DURATION.fullmatch(text):
        return None
    total = Decimal(0)
    for number, unit in re.findall(r"([0-9.]+)([a-zµμ]+)", text):
        total += Decimal(number) * _GO_UNITS[unit]
    return None if total >= Decimal(1 << 63) / 10**9 else -total if text[0] == "-" else total

"""Which metrics dryRun and measurementRetention rules name (CF249)."""

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from canaryfleet.engines.argo_rollouts.validate.plain import Object, Path, as_text, as_whole, at, each, short
from canaryfleet.engines.argo_rollouts.validate.world import Violation, bad

MetricPattern = tuple[Object, Path, dict[Any, Any]]


def patterns_of(item: Object, path: Path, field: str) -> list[MetricPattern]:
    """dryRun or measurementRetention rules of an object, below a path."""
    return [(item, here, rule) for here, rule in each(at(item, *path), path, field)]


def pattern_faults(rules: Iterable[MetricPattern], names: Sequence[str]) -> Iterator[Violation]:
    """dryRun and measurementRetention rules against the names of metrics (CF249)."""
    for item, path, rule in rules:
        text = as_text(rule, "metricName")
        here = (*path, "metricName")
        if "limit" in rule and (as_whole(rule["limit"]) or 0) <= 0:
            yield bad(item, (*path, "limit"), "CF249", "a limit that is not positive is taken for 10")
        if not text:
            yield bad(item, here, "CF249", "the rule has no metricName: it matches every metric")
            continue
        pattern = go_regex(text)
        if pattern is None:
            message = f"{short(text)} is not a regular expression of Go: it never matches"
            yield bad(item, here, "CF249", message)
            continue
        matched = [name for name in names if pattern.search(name)]
        if not matched:
            message = f"no metric is named {short(text)}: the run would end in Error"
            yield bad(item, here, "CF249", message, "name a metric of this analysis")
        elif not (text[0] == "^" and text[-1] == "$") or not all(pattern.fullmatch(name) for name in matched):
            message = f"{short(text)} matches parts of names too"
            yield bad(item, here, "CF249", message, f"write ^{short(text.strip('^$'))}$")


def go_regex(text: str) -> re.Pattern[str] | None:
    """The pattern, or None if Go can't read it."""
    if len(text) > 300 or re.search(r"\(\?(?:[=!]|<[=!]|P=|\()|\\[1-9]", text):
        return None
    try:
        return re.compile(text)
    except (re.error, RecursionError, OverflowError):
        return None


def doubled_patterns(rules: Iterable[MetricPattern]) -> Iterator[Violation]:
    """Rules of one name (CF249)."""
    seen: set[str] = set()
    for item, path, rule in rules:
        name = as_text(rule, "metricName")
        if name in seen:
            yield bad(item, path, "CF249", f"two rules are named {short(name)}", "keep one of them")
        seen.add(name)

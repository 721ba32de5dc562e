"""Conditions of metrics, as expressions: what can be seen without the expression language."""

import re

from canaryfleet.engines.argo_rollouts.validate.arguments import TAG

_FOLDS = "all|none|any|one|filter|map|count|sum|mean|median|min|max|first|last|reduce|find|sort"
_INDEX = re.compile(rf"\bresult\s*(?:\?\.)?\[|\b(?:{_FOLDS})\s*\(\s*result\b")
_LENGTH = re.compile(r"\blen\s*\(\s*result\s*\)")
_QUOTED = re.compile(r'"(?:[^"\\]|\\.)*"|\'(?:[^\'\\]|\\.)*\'|`[^`]*`|//[^\n]*|/\*.*?\*/', re.DOTALL)
_BRACKETS = {")": "(", "]": "[", "}": "{"}


def _code(text: str) -> str:
    """The expression with a number for each placeholder, and its quoted parts and comments blanked out."""
    return _QUOTED.sub(lambda match: " " * len(match[0]), TAG.sub("0", text))


def reads_no_data(text: str) -> bool:
    """Whether it reads the result's values without asking for their number first."""
    index, length = _INDEX.search(_code(text)), _LENGTH.search(_code(text))
    return index is not None and not (length and length.start() < index.start())


def expression_fault(text: str) -> str:
    """What is wrong with an expression; "" if nothing is seen."""
    code = _code(text)
    if not text.strip():
        return "the condition is blank"
    if re.search(r"[\"'`]", code):
        return "a quote is not closed"
    stack: list[str] = []
    for char in code:
        if char in "([{":
            stack.append(char)
        elif char in _BRACKETS and (not stack or stack.pop() != _BRACKETS[char]):
            return f"a {char} too many"
    if stack:
        return f"a {stack[-1]} is not closed"
    if re.search(r"(?<![=!<>])=(?!=)", code) and not re.search(r"\blet\b", code):
        return "= does not compare: write =="
    return ""

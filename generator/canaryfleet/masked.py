"""What is shown of values that may be secret: that they are there, and that they differ; never what they are.

Nobody can know a secret by its looks, so its name decides: what is called a token, password, secret,
credential or key is hidden, and so is what a URL, a flag or a line of configuration says beside such a
name. References to secrets (`secretKeyRef`, `secretName`) are no secrets.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

HIDDEN = "••••"
LONGEST = 4000  # characters of a line: looking for names takes the longer, the longer it is
_NAME = re.compile(
    r"passw|passphrase|secret|credential|authorization|token(?!s|i)|"
    r"api[-_.]?key|access[-_.]?key|private[-_.]?key|(?:^|[-_.])key$|[a-z0-9]Key$|\BKEY$",
    re.IGNORECASE,
)
_MANY = re.compile(r"tokens$", re.IGNORECASE)  # MAX_TOKENS is a number, TOKENS may be a list of them
# Fields of Kubernetes, Istio and ours that end so, and name something else than what is secret.
_FIELDS = frozenset(
    ["key", "KEY", "secretName", "secretKeyRef", "secretRef", "topologyKey", "labelKey", "tokenPath", "keys"]
)
_PART = "[A-Za-z0-9_.-]{0,60}"
_WORD = rf"(?<![A-Za-z0-9_.]){_PART}(?:passw(?:or)?d|passphrase|secret|credential|token(?!s|i)|[a-z0-9][-_.]?key){_PART}"
_PATTERNS = (
    # a line of configuration: all that follows the name
    (re.compile(rf"^(\s*(?:-\s+|export\s+)?[\"']?{_WORD}[\"']?\s*[:=]\s*)(?=\S).+$", re.IGNORECASE), rf"\1{HIDDEN}"),
    # in the middle of one: a flag, a parameter, a member of an object
    (re.compile(rf"((?:--?|[?&,{{\s\"'])[\"']?{_WORD}[\"']?\s*[:=]\s*)(\"[^\"]*\"|'[^']*'|[^\s,}}&]+)", re.IGNORECASE), rf"\1{HIDDEN}"),
    (re.compile(rf"(--?{_WORD}\s+)(\S+)", re.IGNORECASE), rf"\1{HIDDEN}"),
    (re.compile(r"(//)[^/@\s]+@"), rf"\1{HIDDEN}@"),
    (re.compile(r"\b(Bearer|Basic)\s+[A-Za-z0-9._~+/=-]{6,}", re.IGNORECASE), rf"\1 {HIDDEN}"),
    # what the issuers of tokens begin them with, so that leaks are found
    (re.compile(r"\b(?:gh[pousr]_|github_pat_|glpat-|xox[abprs]-|sk-|hf_|AKIA|eyJ)[A-Za-z0-9._-]{12,}"), HIDDEN),
)  # fmt: skip
PRIVATE = "PRIVATE KEY-----"


class Hidden(str):
    """A value that nobody is shown; it compares as what it is."""

    __slots__ = ()


def is_secret(name: str, value: str = "") -> bool:
    """Whether a name says that what it has is secret; of `…TOKENS` only what is no number."""
    return bool(_NAME.search(name)) or bool(_MANY.search(name) and not value.isdigit())


def hide(value: Any) -> Any:
    """The same plain data, with what may be secret as `Hidden`; a Kubernetes Secret has nothing else."""
    if isinstance(value, Mapping):
        whole = value.get("kind") == "Secret" and "metadata" in value
        return {
            key: _all(item) if whole and key in ("data", "stringData") else _member(value, key, item)
            for key, item in value.items()
        }
    if isinstance(value, list | tuple):
        return [
            Hidden(item) if _is_given(value, index, item) else hide(item) for index, item in enumerate(value)
        ]
    if isinstance(value, str) and PRIVATE in value:
        return Hidden(value)
    return value


def _member(within: Mapping[str, Any], key: str, value: Any) -> Any:
    if not isinstance(value, str):
        return hide(value)
    # a variable or a header: a pair of its name and its value
    named = within.get("name", within.get("key")) if key == "value" else key
    by_field = key != "value" and key in _FIELDS
    if isinstance(named, str) and not by_field and is_secret(named, value):
        return Hidden(value)
    return hide(value)


def _is_given(words: Sequence[Any], index: int, word: Any) -> bool:
    """Whether a word of a command line is what the flag before it, by itself, is given."""
    before = words[index - 1] if index else None
    return (
        isinstance(word, str)
        and isinstance(before, str)
        and before.startswith("-")
        and "=" not in before
        and not word.startswith("-")
        and is_secret(before.lstrip("-"), word)
    )


def _all(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _all(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_all(item) for item in value]
    return Hidden(value)


def line(text: str) -> str:
    """A line of text, with what may be secret hidden; one that nobody would read is hidden as a whole."""
    if len(text) > LONGEST:
        return f"{HIDDEN} ({len(text):,} characters)"
    for pattern, instead in _PATTERNS:
        text = pattern.sub(instead, text)
    return text

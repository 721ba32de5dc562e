"""What comes from outside, altered: a right input of which something is left out, doubled, retyped, deepened or moved.

`CANARYFLEET_FUZZ=100` tries a hundred times as many examples, and others each time; a failure shows its example.
"""

import contextlib
import copy
import io
import json
import os
from collections.abc import Iterator
from time import process_time
from typing import Any

from driver import Result
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from canaryfleet import cli

MORE = int(os.environ.get("CANARYFLEET_FUZZ", "1"))
LONGEST = 10.0  # seconds of the processor for one command: what takes longer hangs
SECRET = "s3cret-of-the-environment-0123456789"

TEXTS = (
    "", " ", "0", "-1", "x", "\0", "a\0b", "a\nb", "\r\n", "\x1b[31m", "\u202e", "\u2028x", "\x85", "\x7f", "é", "²", "٣",
    "..", "../..", "../../../etc/passwd", "/etc/passwd", "a/../b", ".git", ".git/config", "//", "*", "-x", "--all", "~",
    "$(id)", "`id`", "{{x}}", "%s", "::error::x", "<script>", "![](https://x.example)", "@everyone", "NaN", "[NaN]",
    "Infinity", "1e999", "-0", "9" * 400, "x" * 5000, "null", "true", "yes", "5m", "99999999d", "10%", "-1%", "1000%",
    "2026-01-01T00:00:00", "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "2026-02-31T00:00:00Z",
    "http://[", "https://user:pass@x.example", "file:///etc/passwd", "refs/heads/main", "main:main", "eu-1", "chat",
    "Verified", "Successful", "[0]", "[0,1]", "{}", "True",
)  # fmt: skip
DEEP: Any = json.loads("[" * 90 + "]" * 90)
VALUES = (
    None, True, False, 0, 1, -1, 2, 7, 2**31, 2**63, -(2**63) - 1, 2**70, 0.5, 1e308, -0.0, [], {}, [None], [[]], [{}],
    {"x": None}, {"": ""}, {"name": "x"}, {"kind": "List", "items": []}, DEEP,
)  # fmt: skip
ANYTHING = st.sampled_from(VALUES) | st.sampled_from(TEXTS)


def tried(examples: int) -> settings:
    """So many examples, the same in every run of the tests; others in a longer campaign."""
    return settings(
        max_examples=examples * MORE,
        derandomize=MORE == 1,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )


def places(tree: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Every place in plain data, except the whole."""
    items = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    for key, value in items:
        yield (*at, key)
        yield from places(value, (*at, key))


def at(tree: Any, path: tuple[Any, ...]) -> Any:
    """What is at a place."""
    for key in path:
        tree = tree[key]
    return tree


@st.composite
def altered(draw: st.DrawFn, tree: Any, most: int = 3) -> Any:
    """Plain data with up to `most` changes."""
    tree = copy.deepcopy(tree)
    for _ in range(draw(st.integers(1, most))):
        everywhere = list(places(tree))
        if not everywhere:
            return draw(ANYTHING)
        path = draw(st.sampled_from(everywhere))
        inner, key = at(tree, path[:-1]), path[-1]
        _change(draw, tree, everywhere, inner, key)
    return tree


def _change(draw: st.DrawFn, tree: Any, everywhere: list[tuple[Any, ...]], inner: Any, key: Any) -> None:
    value = inner[key]
    match draw(st.sampled_from(["replace", "replace", "remove", "double", "move", "wrap", "text", "key"])):
        case "remove":
            del inner[key]
        case "double" if isinstance(inner, list):
            inner.insert(key, copy.deepcopy(value))
        case "move":
            inner[key] = copy.deepcopy(at(tree, draw(st.sampled_from(everywhere))))
        case "wrap":
            for _ in range(draw(st.sampled_from([1, 2, 30]))):
                value = draw(st.sampled_from([[value], {"x": value}]))
            inner[key] = value
        case "text" if isinstance(value, str):
            more = draw(st.sampled_from(TEXTS))
            inner[key] = draw(st.sampled_from([value + more, more + value, value[:-1], value * 2]))
        case "key" if isinstance(inner, dict):
            inner[draw(st.sampled_from(TEXTS)) or key] = inner.pop(key)
        case _:
            inner[key] = copy.deepcopy(draw(ANYTHING))


@st.composite
def spoiled(draw: st.DrawFn, data: bytes) -> bytes:
    """Bytes that were cut, doubled or mixed with others."""
    for _ in range(draw(st.integers(1, 3))):
        begin = draw(st.integers(0, len(data)))
        end = min(len(data), begin + draw(st.sampled_from([0, 1, 2, 40, 4000])))
        other = draw(st.sampled_from(BYTES))
        data = draw(
            st.sampled_from(
                [
                    data[:begin] + other + data[end:],
                    data[:begin] + data[end:],
                    data[:end] + data[begin:],
                    data[:begin],
                ]
            )
        )
    return data


BYTES = (
    b"", b"\0", b"\xff", b"\xed\xa0\x80", b"\xef\xbb\xbf", b"\\ud800", b"\\u0000", b"\x1b[2J", b"\n", b"\r", b"\t", b'"', b"'",
    b"{", b"}", b"[", b"]", b",", b":", b": ", b"NaN", b"Infinity", b"1e999", b"9" * 5000, b"-", b"---\n", b"&a [*a]", b"*a",
    b"!!python/object:os.system x", b"<<: {x: y}", b"[" * 3000, b"{\"a\":" * 3000, b"a: " * 200, b'"kind":"Snapshot",',
)  # fmt: skip


def as_json(tree: Any) -> bytes:
    """JSON, which is YAML too."""
    return json.dumps(tree).encode()


def data_of(tree: Any) -> st.SearchStrategy[bytes]:
    """Altered data as JSON, and JSON that is altered."""
    return altered(tree).map(as_json) | spoiled(as_json(tree))


def ends(*arguments: str, codes: tuple[int, ...] = (0, 1, 2)) -> Result:
    """Run a command, which ends as commands do: no traceback, soon, in plain lines, and without a secret."""
    began = process_time()
    result = run(*arguments)
    spent = process_time() - began
    assert result.code in codes, (result.code, result.out[-3000:], result.err[-3000:])
    assert spent < LONGEST, (spent, arguments)
    fine(result.out, result.err)
    return result


def run(*arguments: str) -> Result:
    """Run a command in this process; its standard output takes bytes and text, and no half characters, as a real one."""
    out, err = io.TextIOWrapper(io.BytesIO(), encoding="utf-8"), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            code = cli.main(arguments)
        except SystemExit as end:  # argparse's own
            code = int(end.code or 0)
        out.flush()
    return Result(code, out.buffer.getvalue().decode(), err.getvalue())  # type: ignore[attr-defined]


def fine(*texts: str) -> None:
    """No traceback, no control characters, no secret."""
    for text in texts:
        assert "Traceback" not in text, text[-3000:]
        assert SECRET not in text, text
        odd = {character for character in text if character != "\n" and not character.isprintable()}
        assert not odd, (odd, text[-2000:])

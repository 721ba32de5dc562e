"""The semantic difference of plain data: nothing that differs is unsaid, and no secret is said."""

import copy
import json
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from canaryfleet import difference, masked
from canaryfleet.difference import changes
from canaryfleet.models.diff import Change
from support import PROPERTY

SCALARS = (
    st.none() | st.booleans() | st.integers(-3, 3) | st.sampled_from(["", "a", "1", "a\nb", "a\n", "true"])
)
NAMED = st.builds(lambda name, value: {"name": name, "value": value}, st.sampled_from("abc"), SCALARS)
DATA = st.recursive(
    SCALARS | st.lists(NAMED, max_size=3),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from("abxy"), inner, max_size=4),
    max_leaves=12,
)


def same(one: Any, other: Any) -> bool:
    return json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)


@PROPERTY
@given(DATA, DATA)
def test_nothing_is_unsaid(one: Any, other: Any) -> None:
    assert bool(changes(one, other)) == (not same(one, other))
    assert not changes(one, copy.deepcopy(one))


@PROPERTY
@given(DATA, DATA)
def test_every_change_shows_that_it_is_one(one: Any, other: Any) -> None:
    for change in changes(one, other):
        assert change.text or change.old != change.new
        assert all(text is None or text.isprintable() for text in (change.old, change.new, *change.text))


@pytest.mark.parametrize(("one", "other"), [(True, 1), (0, False), (1, 1.0), ("", None), ({}, []), ("1", 1)])
def test_what_python_takes_for_the_same_is_not(one: Any, other: Any) -> None:
    (change,) = changes({"a": one}, {"a": other})
    assert change.old != change.new


SECRET = "s3cr3t-V4lue-which-nobody-reads"
NAMES = (
    "HF_TOKEN",
    "DB_PASSWORD",
    "SECRET",
    "AWS_SECRET_ACCESS_KEY",
    "API_KEY",
    "apiKey",
    "password",
    "client-secret",
)
PLACES = {
    "variable": lambda name, value: {"env": [{"name": name, "value": value}]},
    "mapping": lambda name, value: {"env": {name: value}},
    "header": lambda name, value: {"headers": [{"key": name, "value": value}]},
    "flag": lambda name, value: {"args": [f"--{name}={value}"]},
    "flag and word": lambda name, value: {"args": [f"--{name}", value]},
    "command": lambda name, value: {"command": ["sh", "-c", f"run --{name} {value} --verbose"]},
    "line of configuration": lambda name, value: {"data": {"app.conf": f"a: 1\n{name}: {value} and more\nb: 2\n"}},
    "JSON": lambda name, value: {"data": {"app.json": f'{{"a": 1, "{name}": "{value}"}}\n'}},
    "shell": lambda name, value: {"data": {"env.sh": f"export {name}={value}\n"}},
    "address": lambda name, value: {"url": f"https://ann:{value}@db.example/x"},
    "query": lambda name, value: {"url": f"https://db.example/x?a=1&{name}={value}"},
    "deep in what is new": lambda name, value: {"containers": [{"name": value[:0] + "a", "env": [{"name": name, "value": value}]}]},
    "Secret": lambda name, value: {"kind": "Secret", "metadata": {"name": "x"}, "stringData": {"user": value}},
    "key file": lambda name, value: {"data": {"id": f"-----BEGIN PRIVATE KEY-----\n{value}\n-----END PRIVATE KEY-----\n"}},
}  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("place", PLACES)
def test_no_secret_is_shown(name: str, place: str) -> None:
    """Whether it is new, another or gone: that is said, and nothing of what it is."""
    one, other = (PLACES[place](name, value) for value in (f"{SECRET}-1", f"{SECRET}-2"))
    for before, after in ((one, other), ({}, one), (one, {}), (None, one)):
        found = changes(before, after)
        assert found
        assert SECRET not in repr(found)


SHOWN = [
    {"env": [{"name": "MAX_TOKENS", "value": "4096"}]},
    {"env": [{"name": "TOKENIZERS_PARALLELISM", "value": "yes-please"}]},
    {"env": [{"name": "LOG_LEVEL", "value": "debug"}]},
    {"env": [{"name": "A", "valueFrom": {"secretKeyRef": {"name": "login", "key": "entry"}}}]},
    {"volumes": [{"name": "a", "secret": {"secretName": "login"}}]},
    {"tolerations": [{"key": "nvidia.com/gpu", "operator": "Exists"}]},
    {"args": ["--max-tokens", "4096", "--tokenizer", "meta/llama"]},
    {"topologyKey": "kubernetes.io/hostname"},
]


@pytest.mark.parametrize("data", SHOWN, ids=str)
def test_what_is_no_secret_is_shown(data: Any) -> None:
    assert masked.HIDDEN not in repr(changes({}, data))
    assert masked.hide(data) == data


def test_values_that_differ_far_behind_are_clipped_to_where_they_do() -> None:
    (change,) = changes({"a": "x" * 3000 + "1"}, {"a": "x" * 3000 + "2"})
    assert change.old
    assert change.new
    assert (change.old[-1], change.new[-1], change.old[0]) == ("1", "2", "…")
    assert len(change.old) <= difference.SHOWN


def test_lists_are_matched_by_names_and_their_order_is_said() -> None:
    old = [{"name": "a", "value": "1"}, {"name": "b", "value": "2"}]
    assert changes(old, [old[0], {"name": "x"}, old[1]], "env") == [
        Change(path="env[x]", new='{"name": "x"}')
    ]
    assert changes(old, old[::-1], "env") == [Change(path="env (order)", old="a, b", new="b, a")]
    steps = [{"setWeight": 5}, {"pause": {}}, {"setWeight": 50}]
    assert changes(steps, [*steps[:2], {"setWeight": 25}, *steps[2:]], "steps") == [
        Change(path="steps[2]", new='{"setWeight": 25}')
    ]


def test_long_texts_are_cut() -> None:
    old = "".join(f"line {number}\n" for number in range(500))
    (change,) = changes({"a": old}, {"a": old.replace("line", "row")})
    assert len(change.text) == difference.LINES + 1
    assert "more lines" in change.text[-1]
    (change,) = changes({"a": "x\n" * 5000}, {"a": "y\n" * 5000})
    assert change.text == ("5001 lines, 5001 other ones",)


def thing(kind: str, name: str, **more: Any) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": kind, "metadata": {"name": name, "namespace": "ai"}, **more}


def test_names_by_content_are_one_object_unless_there_are_two_of_them() -> None:
    one, other, third = "a" * 12, "b" * 12, "c" * 12
    old, new = (
        thing("ConfigMap", f"x-{one}", data={"k": "1"}),
        thing("ConfigMap", f"x-{other}", data={"k": "2"}),
    )
    (found,) = difference.objects([old], [new])
    assert (found.name, found.what, [item.path for item in found.changes]) == ("x-…", "changed", ["data.k"])
    both = [new, thing("ConfigMap", f"x-{third}", data={"k": "3"})]
    assert {(item.name, item.what) for item in difference.objects([old], both)} == {
        ("x-…", "removed"), (f"x-{other}", "added"), (f"x-{third}", "added"),
    }  # fmt: skip
    assert difference.objects([thing("Service", f"x-{one}")], [thing("Service", f"x-{other}")])


@pytest.mark.parametrize("part", ["x", "-", "a.b-", "token ", "//", "-a", "key-", " "])
def test_masking_takes_no_longer_for_text_that_means_to(part: str) -> None:
    text = part * (masked.LONGEST // len(part))
    begin = time.process_time()
    masked.line(text)
    assert masked.HIDDEN in masked.line(text + "x" * 100)
    assert time.process_time() - begin < 2

"""A small evaluator of PromQL, for queries that are too much to judge by their selectors: as Prometheus 2.42 has it.

Only what is asked here: arithmetic with `on()` and `group_left`/`group_right`, `and`, `or`, comparisons with numbers,
sums and means, subqueries, and `increase` with its extrapolation (promql/functions.go, extrapolatedRate). Anything
else raises. A test compares it with promtool where there is one.
"""

import math
import operator
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import NamedTuple

Labels = frozenset[tuple[str, str]]
Vector = dict[Labels, float]
Value = float | Vector
TOKEN = re.compile(
    r"""\s*(?:(?P<string>"(?:\\.|[^"\\])*")|(?P<word>[A-Za-z_][A-Za-z0-9_:]*)|(?P<span>[0-9]+[smhd][0-9smhd]*)
    |(?P<number>[0-9]+(?:\.[0-9]+)?)|(?P<sign>>=|<=|!=|==|=~|!~|[-+*/<>=(){}\[\],:]))""",
    re.VERBOSE,
)
LEVELS = (("or",), ("and",), (">=", "<=", ">", "<", "==", "!="), ("+", "-"), ("*", "/"))
SIGNS: dict[str, Callable[[float, float], float]] = {
    "+": operator.add, "-": operator.sub, "*": operator.mul, ">=": operator.ge, ">": operator.gt, "<": operator.lt,
    "<=": operator.le, "==": operator.eq, "!=": operator.ne,
    "/": lambda a, b: a / b if b else math.nan if a == 0 or math.isnan(a) else math.copysign(math.inf, a),
}  # fmt: skip
NONE: Labels = frozenset()


class Series(NamedTuple):
    """A series: its labels with `__name__`, and samples by their times in seconds."""

    labels: Mapping[str, str]
    samples: Sequence[tuple[float, float]]


def evaluate(query: str, series: Sequence[Series], at: float) -> Vector:
    """What an instant query answers at a time."""
    found = _Query(query, series).whole()(at)
    assert isinstance(found, dict), "a scalar"
    return found


def span(text: str) -> float:
    """Seconds of a duration such as 2h5m."""
    sizes = {"s": 1, "m": 60, "h": 3600, "d": 86400}
    return float(sum(int(number) * sizes[unit] for number, unit in re.findall(r"(\d+)([smhd])", text)))


class _Query:
    """A parser by descent that makes functions of the time."""

    def __init__(self, text: str, series: Sequence[Series]) -> None:
        self.tokens, self.series, self.at = list(_tokens(text)), series, 0

    def whole(self) -> Callable[[float], Value]:
        made = self.level(0)
        assert self.at == len(self.tokens), self.tokens[self.at :]
        return made

    def peek(self) -> str:
        return self.tokens[self.at] if self.at < len(self.tokens) else ""

    def take(self, wanted: str = "") -> str:
        found = self.peek()
        assert found, "it ends too early"
        assert wanted in {"", found}, f"{found} instead of {wanted}"
        self.at += 1
        return found

    def level(self, depth: int) -> Callable[[float], Value]:
        if depth == len(LEVELS):
            return self.single()
        left = self.level(depth + 1)
        while self.peek() in LEVELS[depth]:
            sign, how = self.take(), self.matching()
            left = _binary(sign, how, left, self.level(depth + 1))
        return left

    def matching(self) -> str:
        """`on()` with what is grouped; other labels than none are not asked for."""
        how = ""
        while self.peek() in ("on", "group_left", "group_right"):
            how = self.take()
            self.take("(")
            self.take(")")
        return how

    def single(self) -> Callable[[float], Value]:
        token = self.take()
        if token == "(":
            inner = self.level(0)
            self.take(")")
            return self.subquery(inner) if self.peek() == "[" else inner
        if token[0].isdigit():
            number = float(token)
            return lambda _: number
        if self.peek() == "(":
            return self.call(token)
        return self.selected(token)

    def call(self, name: str) -> Callable[[float], Value]:
        self.take("(")
        given = [self.argument()]
        while self.peek() == ",":
            self.take()
            given.append(self.argument())
        self.take(")")
        made = FUNCTIONS[name]
        return lambda at: made(*(one(at) if callable(one) else one for one in given))

    def argument(self) -> Callable[[float], object] | str:
        return self.take()[1:-1] if self.peek().startswith('"') else self.level(0)

    def selected(self, name: str) -> Callable[[float], object]:  # type: ignore[return]
        tests: list[Callable[[Mapping[str, str]], bool]] = [lambda labels: labels["__name__"] == name]
        self.take("{")
        while self.peek() != "}":
            tests.append(_matcher(self.take(), self.take(), self.take()[1:-1]))
            if self.peek() == ",":
                self.take()
        self.take("}")
        self.take("[")
        length = span(self.take())
        self.take("]")
        chosen = [one for one in self.series if all(test(one.labels) for test in tests)]
        return lambda at: [
            (_unnamed(one.labels), [s for s in one.samples if at - length <= s[0] <= at], length, at) for one in chosen
        ]  # fmt: skip

    def subquery(self, inner: Callable[[float], Value]) -> Callable[[float], object]:  # type: ignore[return]
        self.take("[")
        length = span(self.take())
        self.take(":")
        every = span(self.take())
        self.take("]")

        def ranged(at: float) -> list[Value]:
            first = math.ceil((at - length) / every)
            return [inner(k * every) for k in range(first, math.floor(at / every) + 1)]

        return ranged


def _tokens(text: str) -> Iterator[str]:
    at, text = 0, text.strip()
    while at < len(text):
        found = TOKEN.match(text, at)
        assert found, text[at : at + 20]
        yield found[0].strip()
        at = found.end()


def _matcher(name: str, sign: str, value: str) -> Callable[[Mapping[str, str]], bool]:
    tests: dict[str, Callable[[str], bool]] = {
        "=": lambda label: label == value,
        "!=": lambda label: label != value,
        "=~": lambda label: re.fullmatch(value, label) is not None,
        "!~": lambda label: re.fullmatch(value, label) is None,
    }
    return lambda labels: tests[sign](labels.get(name, ""))


def _unnamed(labels: Mapping[str, str]) -> Labels:
    return frozenset((key, value) for key, value in labels.items() if key != "__name__")


def _binary(
    sign: str, how: str, left: Callable[[float], Value], right: Callable[[float], Value]
) -> Callable[[float], Value]:
    return lambda at: _combine(sign, how, left(at), right(at))


def _combine(sign: str, how: str, left: Value, right: Value) -> Value:
    if sign == "or":
        assert isinstance(left, dict)
        assert isinstance(right, dict)
        return right | left
    if sign == "and":
        assert isinstance(left, dict)
        return left if right else {}
    made = SIGNS[sign]
    if isinstance(right, float) and isinstance(left, dict):
        compared = sign in LEVELS[2]
        kept = {key: value for key, value in left.items() if not compared or made(value, right)}
        return kept if compared else {key: made(value, right) for key, value in kept.items()}
    if isinstance(left, float) and isinstance(right, dict):
        return {key: made(left, value) for key, value in right.items()}
    if isinstance(left, float) and isinstance(right, float):
        return made(left, right)
    assert isinstance(left, dict)
    assert isinstance(right, dict)
    return _joined(made, how, left, right)


def _joined(made: Callable[[float, float], float], how: str, left: Vector, right: Vector) -> Vector:
    """Two vectors: by all labels, or by none with one or many on a side."""
    if not how:
        return {key: made(left[key], right[key]) for key in left.keys() & right.keys()}
    assert len(left) <= 1 or how == "group_left", "many to one"
    assert len(right) <= 1 or how == "group_right", "many to one"
    return {
        (a if how == "group_left" else b if how == "group_right" else NONE): made(left[a], right[b])
        for a in left
        for b in right
    }


def _increase(ranged: list[tuple[Labels, list[tuple[float, float]], float, float]]) -> Vector:
    return {
        labels: _extrapolated(samples, at - length, at)
        for labels, samples, length, at in ranged
        if len(samples) > 1
    }


def _extrapolated(samples: list[tuple[float, float]], begin: float, end: float) -> float:
    resets = sum(a for (_, a), (_, b) in pairwise(samples) if b < a)
    delta = samples[-1][1] - samples[0][1] + resets
    before, after = samples[0][0] - begin, end - samples[-1][0]
    length = samples[-1][0] - samples[0][0]
    each = length / (len(samples) - 1)
    if delta > 0 and samples[0][1] >= 0:
        before = min(before, length * samples[0][1] / delta)
    whole = length + sum(part if part < each * 1.1 else each / 2 for part in (before, after))
    return delta * whole / length


def _summed(values: list[Vector]) -> Vector:
    total: dict[Labels, list[float]] = {}
    for one in values:
        for key, value in one.items():
            total.setdefault(key, []).append(value)
    return {key: math.fsum(found) for key, found in total.items()}


def _each(made: Callable[[float], float]) -> Callable[[Vector], Vector]:
    return lambda vector: {key: made(value) for key, value in vector.items()}


FUNCTIONS: dict[str, Callable[..., object]] = {  # type: ignore[assignment]
    "sum": lambda vector: {NONE: math.fsum(vector.values())} if vector else {},
    "avg": lambda vector: {NONE: math.fsum(vector.values()) / len(vector)} if vector else {},
    "ln": _each(math.log),
    "exp": _each(math.exp),
    "vector": lambda number: {NONE: number},
    "label_replace": lambda vector, name, text, *_: {frozenset({(name, text)}): v for v in vector.values()},
    "clamp_max": lambda vector, most: {k: v if math.isnan(v) else min(v, most) for k, v in vector.items()},
    "increase": _increase,
    "sum_over_time": _summed,
}

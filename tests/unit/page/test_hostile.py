"""Whatever clusters, specs, commits and people say, the page has the same elements: text is never markup."""

from collections.abc import Callable
from typing import Any, get_type_hints

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import reports
from canaryfleet.models.base import Model
from canaryfleet.models.report import Point, Report, Series
from canaryfleet.page import charts, render
from canaryfleet.page.charts import HEIGHT, WIDTH
from pages import parse
from support import PROPERTY

HOSTILE = (
    "<script>alert(1)</script>", "</noscript><script>alert(1)</script>", "</style><img src=x onerror=alert(1)>",
    '" onmouseover="alert(1)', "' autofocus onfocus='alert(1)", "<!-- ", "]]>", "&lt;b&gt;", "{{7*7}}", "javascript:alert(1)",
    "\u202egnp.exe", "a\nb\rc\x00\x1b[31m", "\ud800", "</title></head>", "`${alert(1)}`", "</script", "x" * 5000,
)  # fmt: skip
FREE = {"cluster", "app", "namespace", "fleet", "name", "release", "fallback", "live", "phase", "message", "remedy", "reason",
        "candidate", "wave", "subject", "who", "commit", "record", "unknown", "why", "by", "hash", "workload"}  # fmt: skip


def spoiled(value: Any, spoil: Callable[[str], str]) -> Any:
    """The same report with every free text replaced."""
    if isinstance(value, Model):
        kinds = get_type_hints(type(value))
        changed = {
            field: spoil(found)
            if field in FREE and isinstance(found, str) and kinds[field] in (str, str | None)
            else spoiled(found, spoil)
            for field, found in ((name, getattr(value, name)) for name in value.__struct_fields__)
        }
        return msgspec.structs.replace(value, **changed)
    return tuple(spoiled(item, spoil) for item in value) if isinstance(value, tuple) else value


def shape(page: str) -> list[tuple[str, tuple[str, ...], tuple[str, ...]]]:
    """Each element with the names of its attributes and what it stands in."""
    return [(item.name, tuple(item.attributes), item.inside) for item in parse(page)]


REPORT = reports.report(10, 3)
PLAIN = shape(render(spoiled(REPORT, lambda found: f"{found}x")))
"""With other names than those that `reports` knows, each still its own."""


def test_a_text_of_every_kind_is_spoiled() -> None:
    page = render(spoiled(REPORT, lambda text: f"{text}<evil>"))
    assert page.count("&lt;evil&gt;") > 100


@pytest.mark.parametrize("text", HOSTILE)
def test_text_is_never_markup(text: str) -> None:
    assert shape(render(spoiled(REPORT, lambda found: found + text))) == PLAIN


@settings(PROPERTY, max_examples=25)
@given(st.text(max_size=40))
def test_no_text_is_markup(text: str) -> None:
    page = render(spoiled(REPORT, lambda found: found + "x" + text))
    assert shape(page) == PLAIN
    page.encode()


@PROPERTY
@given(
    st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=80),
    st.sampled_from([None, "< 0.005", "> 900", "> 0", "< -1.5"]),
    st.sampled_from([None, "> 0.01", "< 600", "> 0", "< -3"]),
)
def test_whatever_is_measured_is_drawn_inside(
    values: list[float], promote: str | None, rollback: str | None
) -> None:
    points = tuple(Point(at=reports.AT, value=value, word="good") for value in values)
    found = charts.chart(
        Series(name="m", promote=promote, rollback=rollback, points=points, stable=points[:2])
    )
    assert found is not None
    for item in parse(found):
        for x, y in _places(item.attributes.get("d") or ""):
            assert 0 <= x <= WIDTH
            assert 0 <= y <= HEIGHT
        for key in ("y", "height"):
            assert 0 <= float(item.attributes.get(key) or 0) <= HEIGHT


def _places(path: str) -> list[tuple[float, float]]:
    parts = path.replace("h0", "").replace(f"H{WIDTH}", "").replace("M", " M").replace("L", " L").split(" ")
    numbers = [float(part.strip("ML")) for part in parts if part.strip("ML")]
    return list(zip(numbers[::2], numbers[1::2], strict=True))


def test_nothing_bad_is_thinned_away() -> None:
    points = [Point(at=reports.AT, value=float(at), word="bad" if at == 137 else "good") for at in range(500)]
    kept = charts.thinned(points)
    assert len(kept) <= charts.MOST
    assert [point.value for point in kept if point.word == "bad"] == [137.0]


def test_the_report_is_what_json_says() -> None:
    assert msgspec.json.decode(msgspec.json.encode(REPORT), type=Report) == REPORT

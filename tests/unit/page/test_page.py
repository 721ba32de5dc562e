"""The page as a document: whole, closed, self-contained, and readable by everybody."""

import base64
import hashlib
import re
from itertools import combinations, pairwise
from pathlib import Path

import pytest

import canaryfleet.page
import reports
from canaryfleet.page import render
from pages import Element, parse, tiles, with_class

FOLDER = Path(canaryfleet.page.__file__).parent
STYLE, SCRIPT = (FOLDER / "style.css").read_text(), (FOLDER / "script.js").read_text()


@pytest.fixture(scope="module")
def page() -> str:
    return render(reports.report())


@pytest.fixture(scope="module")
def elements(page: str) -> list[Element]:
    return parse(page)


def test_every_id_is_there_once(elements: list[Element]) -> None:
    ids = [item.attributes["id"] for item in elements if "id" in item.attributes]
    assert len(set(ids)) == len(ids)


def test_whatever_is_referred_to_is_there(elements: list[Element]) -> None:
    ids = {item.attributes["id"] for item in elements if "id" in item.attributes}
    referred = [
        name
        for item in elements
        for key in ("aria-labelledby", "aria-describedby", "aria-controls", "for")
        for name in (item.attributes.get(key) or "").split()
    ]
    linked = [(item.attributes.get("href") or "") for item in elements if "href" in item.attributes]
    assert {*referred, *(address.removeprefix("#") for address in linked)} <= ids
    assert len(referred) > 5
    assert all(address.startswith("#") for address in linked)


def test_nothing_is_fetched_from_anywhere(page: str, elements: list[Element]) -> None:
    for item in elements:
        assert item.name not in {"link", "img", "iframe", "object", "embed", "base", "form", "audio", "video"}
        assert not {"src", "srcset", "action", "style", "background"} & item.attributes.keys()
        assert not any(name.startswith("on") for name in item.attributes)
    assert "url(" not in STYLE
    assert "@import" not in STYLE
    assert not re.search(r"https?:|\bfetch\b|import\(|XMLHttp|WebSocket|\beval\b", SCRIPT + STYLE)


def test_the_policy_lets_nothing_run_but_what_it_names(page: str, elements: list[Element]) -> None:
    (policy,) = [
        item.attributes["content"] or ""
        for item in elements
        if item.attributes.get("http-equiv") == "Content-Security-Policy"
    ]
    assert policy.startswith("default-src 'none';")
    assert "unsafe" not in policy
    for kind, text in (("script", SCRIPT), ("style", STYLE)):
        (element,) = [item for item in elements if item.name == kind]
        assert "".join(element.texts) == text
        assert f"{kind}-src 'sha256-{_hash(text)}';" in policy
    meta = next(at for at, item in enumerate(elements) if item.attributes.get("http-equiv"))
    assert all(item.name in {"html", "head", "meta"} for item in elements[:meta]), "it has to come first"


def _hash(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def test_headings_leave_no_level_out(elements: list[Element]) -> None:
    levels = [int(item.name[1]) for item in elements if re.fullmatch("h[1-6]", item.name)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))


def test_there_is_a_landmark_for_everything_and_each_has_a_name(elements: list[Element]) -> None:
    assert [item.name for item in elements if item.name in {"header", "main", "footer", "nav"}] == [
        "header", "nav", "main", "footer",
    ]  # fmt: skip
    sections = [item for item in elements if item.name == "section"]
    assert [item.attributes.get("aria-labelledby") for item in sections] == ["app-1", "app-2"]


def test_tables_have_captions_and_heads(elements: list[Element]) -> None:
    tables = [item for item in elements if item.name == "table"]
    assert len([item for item in elements if item.name == "caption"]) == len(tables) > 0
    assert all(item.attributes.get("scope") in {"row", "col"} for item in elements if item.name == "th")


def test_pictures_are_told_or_hidden(elements: list[Element]) -> None:
    for item in elements:
        if item.name == "svg":
            told = item.attributes.get("role") == "img" and item.attributes.get("aria-label")
            assert bool(told) != (item.attributes.get("aria-hidden") == "true")


def test_each_state_has_a_word_and_a_shape_of_its_own(elements: list[Element]) -> None:
    shapes = {item.attributes["id"] for item in elements if item.name == "symbol"}
    paths = [item.attributes["d"] for item in elements if item.name == "path" and "symbol" in item.inside]
    assert len(set(paths)) == len(paths)
    for state, said in (one for found in tiles(elements).values() for one in found):
        assert f"i-{state}" in shapes
        assert {"Waiting": "Not deployed"}.get(state, state) in said


def test_tiles_that_need_a_person_come_first_in_their_wave(elements: list[Element]) -> None:
    (wave,) = [item for item in elements if item.has("wave") and "europe" in item.text]
    at = elements.index(wave)
    order = [item.attributes["data-state"] for item in elements[at:] if item.has("tile")][:4]
    assert order == ["Failed", "Inconclusive", "Unknown", "Progressing"]


def test_a_tile_tells_version_traffic_and_the_nearest_metric(elements: list[Element]) -> None:
    found = tiles(elements)
    assert found["us-east-001"][0] == (
        "Failed",
        "us-east-001 Failed 2.5.0 BeyondThreshold, for 17m 0% of the traffic, step 9 of 17 istio-error-rate 0.0133 (> 0.01)",
    )
    assert found["ap-east-001"][0] == ("Verified", "ap-east-001 Verified 2.4.0 100% of the traffic")
    assert found["eu-west-002"][0] == ("Waiting", "eu-west-002 Not deployed")


def test_charts_say_what_they_show(elements: list[Element]) -> None:
    labels = [item.attributes["aria-label"] for item in elements if item.has("plot")]
    assert labels[4] == (
        "istio-error-rate: 24 measurements, from 0.00178 to 0.0133, last 0.0133; promote < 0.005; roll back > 0.01; 3 too bad"
    )


def test_what_is_next_and_why_is_told_first(elements: list[Element]) -> None:
    (headline,) = with_class(elements, "headline")
    assert (
        headline.text
        == "Rollback back from 2.5.0 on eu-west-001, eu-north-001, us-east-001, us-west-001 and 1 more"
    )
    asking = with_class(elements, "asking")[0].text
    assert "Failed us-east-001 BeyondThreshold: istio-error-rate was [0.0148]" in asking
    assert "Barred release 2.4.1-0123456789ab: 2.4.1 failed on eu-west-001" in asking
    assert "Held wave rest: a customer's launch" in asking


def test_the_history_tells_who_decided_what(elements: list[Element]) -> None:
    past = with_class(elements, "history")[0].text
    assert "Advance 2.5.0 to wave europe: eu-north-001, us-east-001, us-west-001, ap-south-001" in past
    assert "canaryfleet, approved by ann, commit 4444444444, why: canaryfleet explain cccccccccccc" in past
    assert "Released 2.5.0 is the candidateAnn, commit 2222222222" in past
    assert "Rollback back from 2.4.1 on eu-west-001: 2.4.1 failed on eu-west-001" in past


def test_a_thousand_clusters_are_a_page_of_a_moderate_size() -> None:
    page = render(reports.large(200))
    body = parse(page)
    outside = [item for item in body if "noscript" not in item.inside]
    assert len(outside) < 200 * 20
    assert len(page) < 200 * 10_000


# Contrast, as WCAG 2.2 reckons it (relative luminance, https://www.w3.org/TR/WCAG22/#dfn-relative-luminance)

STATES = ("verified", "progressing", "inconclusive", "unknown", "failed", "waiting")
TEXT = [
    *((ink, back) for ink in ("ink", "muted") for back in ("card", "page", "sunk")),
    *((("link", back)) for back in ("card", "page")),
    *((state, back) for state in STATES for back in ("card", "page", f"{state}-back")),
]
DRAWN = [
    *((line, back) for line in ("stable", "verified", "failed", "progressing") for back in ("card", "page")),
    ("failed", "failed-back"), ("progressing", "failed-back"), ("focus", "card"), ("focus", "page"),
    *(("card", state) for state in STATES),
]  # fmt: skip


def _schemes() -> dict[str, dict[str, str]]:
    light, dark = re.findall(r":root \{(.*?)\}", STYLE, re.DOTALL)[:2]
    return {
        name: dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{6})", text))
        for name, text in (("light", light), ("dark", dark))
    }


def _luminance(colour: str) -> float:
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def _contrast(one: str, other: str) -> float:
    low, high = sorted((_luminance(one), _luminance(other)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_out_from_what_is_behind_it(scheme: str) -> None:
    colours = _schemes()[scheme]
    weak = {pair: round(_contrast(colours[pair[0]], colours[pair[1]]), 2) for pair in TEXT}
    assert not {pair: found for pair, found in weak.items() if found < 4.5}


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_lines_stand_out_from_what_is_behind_them(scheme: str) -> None:
    colours = _schemes()[scheme]
    weak = {pair: round(_contrast(colours[pair[0]], colours[pair[1]]), 2) for pair in DRAWN}
    assert not {pair: found for pair, found in weak.items() if found < 3}


def test_both_schemes_name_the_same_colours() -> None:
    light, dark = _schemes().values()
    assert light.keys() == dark.keys()
    assert set(re.findall(r"var\(--([a-z-]+)", STYLE)) - {"tone", "back"} <= light.keys()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_two_states_look_alike(scheme: str) -> None:
    colours = _schemes()[scheme]
    parts = {state: [int(colours[state][at : at + 2], 16) for at in (1, 3, 5)] for state in STATES}
    for one, other in combinations(STATES, 2):
        assert sum(abs(a - b) for a, b in zip(parts[one], parts[other], strict=True)) > 60, (one, other)

"""The text of a review, whatever it is made of: never too long, never broken, never more than was checked."""

import re
from itertools import product

from hypothesis import given
from hypothesis import strategies as st

from canaryfleet import excerpt, review
from canaryfleet.errors import Finding, Place
from canaryfleet.review import About, Check
from support import PROPERTY

ABOUT = About(
    "b" * 40, "a" * 40, "2026-11-22T10:00+00:00", "1.0", "<!-- mark -->", "[in the run](https://example/1)"
)
NAMES = ("lint", "render", "difference", "plan", "forecast", "limits")
STATES = ("passed", "warned", "failed", "told", "notMade")
TAGS = re.compile(
    r"<!-- mark -->|</?sub>|<details(?: open)?><summary>[a-z]+</summary>|</details>|\[in the run\]\(\S+\)"
)
HOSTILE = [
    "@octocat", "```", "````", "</details>", "<!-- mark -->", "<img src=x>", "[a](https://evil.example)", "#12",
    "https://evil.example", "## head", "- item", "1. item", "| a | b |", "&lt;", "\\", "*x*", "\x1b[31m", "\n", "\u2028",
    "::error::x", "##[set-output name=result]passed", "~~~", "$x$",
]  # fmt: skip
words = st.lists(st.sampled_from(HOSTILE) | st.text(max_size=30), max_size=8).map(" ".join)
blocks = st.tuples(words, st.lists(words, max_size=30).map(tuple))
sections = st.lists(st.tuples(words, st.lists(blocks, max_size=4)), max_size=3)
checks = st.tuples(
    *(
        st.builds(Check, st.just(name), st.sampled_from(STATES), words, st.just(()), sections)
        for name in NAMES
    )
)


def outside(text: str) -> str:
    """What is not in a fence, without our own markup; every fence has an end."""
    return TAGS.sub("", "\n".join(unfenced(text)))


def unfenced(text: str) -> list[str]:
    """The lines that are in no fence; every fence has an end."""
    kept, fence = [], ""
    for line in text.split("\n"):
        mark = re.match(r"`{3,}", line)
        if fence:
            fence = "" if line == fence else fence
        elif mark:
            fence = mark[0]
        else:
            kept.append(line)
    assert not fence
    return kept


def sound(text: str) -> None:
    """Nothing of others is markup, a mention or a link, and what is folded has an end."""
    bare = outside(text)
    assert not re.search(r"[<>]|@\w|://|(?<!\\)\[[^\n]*?(?<!\\)\]\(", bare)
    assert not re.search(r"(?<!&)#\d", bare)
    folded = outside_tags(text)
    assert folded == ["<details", "</details"] * (len(folded) // 2)


def outside_tags(text: str) -> list[str]:
    """The beginnings and ends of what is folded, in order, without those in fences."""
    return [found for line in unfenced(text) for found in re.findall(r"^</?details", line)]


@PROPERTY
@given(checks, st.integers(review.LEAST, 40_000))
def test_it_is_sound_markdown_within_its_limit(made: tuple[Check, ...], limit: int) -> None:
    text = review.as_markdown(ABOUT, made, limit)
    assert len(text) <= limit
    assert text.startswith(ABOUT.mark + "\n")
    sound(text)
    assert [name for name in NAMES if f"| {name} | **" in text] == list(NAMES)


@PROPERTY
@given(checks, st.integers(review.LEAST * 2, 60_000))
def test_a_summary_is_counted_in_bytes(made: tuple[Check, ...], most: int) -> None:
    long = made[2]._replace(sections=[("ä", [("ö", ("日本" * 900,) * 40)])])
    text = review.within(ABOUT, [*made[:2], long, *made[3:]], most)
    assert len(text.encode()) <= most
    sound(text)


def test_a_check_that_was_not_made_never_passes() -> None:
    for states in product(STATES, repeat=3):
        made = [Check(name, state, "") for name, state in zip(NAMES[:3], states, strict=True)]
        assert review.passed(made) == ({"failed", "notMade"}.isdisjoint(states))
        assert (review.headline(made) == review.HEADS["passed"]) == {"failed", "notMade"}.isdisjoint(states)
    assert not review.passed([Check("lint", "passed", ""), Check("render", "passed", "")])  # nobody asked


def test_what_need_not_be_made_is_said_all_the_same() -> None:
    made = [Check(name, "passed", "") for name in NAMES[:3]] + [review.not_made("limits", "no history")]
    assert review.passed(made)
    assert review.headline(made) == review.HEADS["incomplete"]
    assert "**not made** | no history" in review.as_markdown(ABOUT, made, 20_000)
    assert "limits: not made: no history" in review.text(ABOUT, made)


def test_what_is_short_is_whole_and_what_is_long_shares_what_is_left() -> None:
    assert review.shares([10, 500, 20, 900], 330) == [10, 150, 20, 150]
    assert review.shares([10, 20], 1000) == [10, 20]
    assert review.shares([10, 20], -5) == [0, 0]
    long = [("", [(f"sentence {number}", ()) for number in range(2000)])]
    made = [Check(name, "told", "x", (), long) for name in NAMES[:2]] + [
        Check("plan", "told", "x", (), [("", [("one short sentence", ())])])
    ]
    text = review.as_markdown(ABOUT, made, 20_000)
    assert "one short sentence" in text
    assert text.count("more sections: [in the run]") == 2
    assert 19_000 < len(text) <= 20_000


def test_errors_come_first() -> None:
    found = [
        Finding(Place("a", 1, 1), "CF301", "w", severity="warning"),
        Finding(Place("b", 1, 1), "CF100", "e"),
    ]
    check = review.of_findings("lint", found, "fine")
    assert (check.state, check.said) == ("failed", "1 error, 1 warning")
    assert [said for said, _ in check.sections[0][1]] == ["b:1:1: error CF100: e", "a:1:1: warning CF301: w"]


@PROPERTY
@given(sections, st.integers(0, 3000))
def test_what_fits_fits(found: list[excerpt.Section], room: int) -> None:
    parts = excerpt.parts(found)
    kept = excerpt.fit(parts, room, "elsewhere")
    assert sum(len(part) + 2 for part in kept) <= room
    outside("\n\n".join(kept))

"""What a merged commit says of its decision comes back, and calls nobody."""

import re

from hypothesis import given
from hypothesis import strategies as st

from canaryfleet.landing import LONGEST, Landing, line, read
from canaryfleet.models.promotion import Bar

WORDS = st.lists(
    st.sampled_from(
        ["@ann", "#12", "fixes #12", "closes GH-12", "gh-1", "https://evil.example/1", "\\", '"', "\n", "\\u0040", "\\\\#", "é", "\U0001f600", "//", "-"]
    )
    | st.text(max_size=5),
    max_size=6,
).map("".join)  # fmt: skip


@given(why=WORDS, by=WORDS)
def test_it_comes_back_whatever_people_write_and_a_forge_acts_on_none_of_it(why: str, by: str) -> None:
    bar = Bar(workload="w", by=by, since="2026-11-03T00:00:00Z", why=why)
    landed = Landing(app="app", kind="Rollback", key="k", bars=(bar,), approvedBy=(by,))
    text = line(landed)
    assert read(f"subject\n\n{text}\n") == landed
    assert text.isascii()
    assert text.isprintable()
    assert not re.search(r"[@#]|://|gh-[0-9]", text, re.IGNORECASE)


def test_what_a_newer_version_says_besides_is_passed_over() -> None:
    """Its rollback would else look like a person's, who moved a pointer."""
    bar = Bar(workload="w", by="canaryfleet", since="2026-11-16T10:00:00Z", why="x")
    landing = Landing(app="chat", kind="Rollback", key="k", owes=(bar,))
    text = line(landing).replace('"why":"x"', '"why":"x","scope":{"all":true}')
    text = text[:-1] + ',"more":[1]}'
    assert text.count("more") == text.count("scope") == 1
    assert read(text) == landing
    assert read(text.replace('"Rollback"', '"Sideways"')) is None
    assert read(text.replace('"app":"chat"', '"app":1')) is None
    for other in ("1", "null", '"w"', "{}"):
        assert read(text.replace('"owes":[', f'"bars":{other},"owes":[')) is None


def test_a_line_without_end_is_none() -> None:
    text = line(Landing(app="chat", kind="Rollback", key="k", ends=("r" * 100,) * 20_000))
    assert len(text) > LONGEST
    assert read(text) is None

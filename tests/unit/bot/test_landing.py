"""What a merged commit says of its decision comes back, and calls nobody."""

import re

from hypothesis import given
from hypothesis import strategies as st

from canaryfleet.landing import Landing, line, read
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

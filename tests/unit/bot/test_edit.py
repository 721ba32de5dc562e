"""Bars in a promotion.yaml that people have written: their text stays."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from canaryfleet import edit
from canaryfleet.decode import decode
from canaryfleet.errors import Problems
from canaryfleet.models.promotion import Bar, Excuse, HoldEntry, Promotion
from canaryfleet.syntax import parse
from support import PROPERTY

FILE = "overlays/chat/promotion.yaml"
SINCE = "2026-11-16T10:00:00Z"
HEAD = "apiVersion: canaryfleet.dev/v1alpha1\nkind: Promotion\nmetadata: {name: chat}\n"
HOLD = f'- {{wave: all, by: ann, since: "{SINCE}", why: wait}}\n'
OLD = f'- workload: aa11\n  by: ann\n  since: "{SINCE}"\n  why: it burns\n'


def bar(workload: str = "bb22", **more: Any) -> Bar:
    return Bar(**{"workload": workload, "by": "canaryfleet", "since": SINCE, "why": "error rate 4%"} | more)


def read(data: bytes) -> Promotion:
    return decode(parse(data, FILE), Promotion)


def add(text: str, *bars: Bar) -> str:
    return edit.add(text.encode(), FILE, "chat", bars or (bar(),)).decode()


def inserted(before: str, after: str) -> str:
    """What was inserted at one place; fails if anything else is other than before."""
    more = len(after) - len(before)
    start = next((at for at in range(len(before)) if before[at] != after[at]), len(before))
    for at in range(start, -1, -1):
        if before[at:] == after[at + more :]:
            return after[at : at + more]
    raise AssertionError("more than one insertion")


NEW = f'- workload: bb22\n  by: canaryfleet\n  since: "{SINCE}"\n  why: "error rate 4%"\n'


@pytest.mark.parametrize(
    ("before", "after"),
    [
        # none yet
        (HEAD, HEAD + "bars:\n" + NEW),
        (HEAD + "holds:\n" + HOLD + "# the end\n", HEAD + "holds:\n" + HOLD + "bars:\n" + NEW + "# the end\n"),
        (HEAD + "holds:\n" + HOLD + "  # his\n\n# x", HEAD + "holds:\n" + HOLD + "  # his\nbars:\n" + NEW + "\n# x"),
        ("---\n# c\n" + HEAD + "...\n", "---\n# c\n" + HEAD + "bars:\n" + NEW + "...\n"),
        # lists of lines
        (HEAD + "bars:\n" + OLD, HEAD + "bars:\n" + OLD + NEW),
        (HEAD + "bars:\n" + OLD + "holds: []\n", HEAD + "bars:\n" + OLD + NEW + "holds: []\n"),
        (HEAD + "bars: # all\n" + OLD + "# end\n", HEAD + "bars: # all\n" + OLD + NEW + "# end\n"),
        (HEAD + "bars:\n" + OLD + "  # till June\n# end\n", HEAD + "bars:\n" + OLD + "  # till June\n" + NEW + "# end\n"),
        (HEAD + "bars:\n" + OLD + "\n\n# holds\nholds: []\n", HEAD + "bars:\n" + OLD + NEW + "\n\n# holds\nholds: []\n"),
        # brackets
        (HEAD + "bars: []\n", HEAD + f'bars: [{{workload: "bb22", by: "canaryfleet", since: "{SINCE}", why: "error rate 4%"}}]\n'),
        (HEAD + "bars: [] # none\nholds: []", HEAD + f'bars: [{{workload: "bb22", by: "canaryfleet", since: "{SINCE}", why: "error rate 4%"}}] # none\nholds: []'),
    ],
)  # fmt: skip
def test_where_a_bar_goes(before: str, after: str) -> None:
    assert add(before) == after


FLOW = f'{{workload: aa11, by: ann, since: "{SINCE}", why: "it, \'burns\'"}}'
KEYS = "apiVersion: canaryfleet.dev/v1alpha1, kind: Promotion, metadata: {name: chat}"


@pytest.mark.parametrize(
    "before",
    [
        HEAD + f"bars: [{FLOW}]\n",
        HEAD + f"bars: [{FLOW},]\n",
        HEAD + f"bars: [ # all\n  {FLOW}, # x\n  ]\n",
        HEAD + f"bars: [\n  {FLOW} # x\n]\n",
        HEAD + f"bars:\n  [{FLOW}]\nholds: []",
        HEAD + f"bars:\n- {FLOW}\n",
        HEAD + f"bars:\n  - {FLOW}\n  # below\nholds: []\n",
        HEAD + f"bars:\n  -   {FLOW}",
        HEAD + f"bars:\n- {FLOW} # x",
        HEAD + "bars: [\n]\n",
        HEAD + "bars: [ ]",
        HEAD + "bars: !!seq []".replace("!!seq ", ""),
        f"{{{KEYS}}}\n",
        f"{{{KEYS}, bars: []}}",
        f"{{{KEYS},\n bars: [{FLOW}],\n}} # end\n",
        f"# first\n{{{KEYS},\n}}\n",
        "bars:\n" + OLD + HEAD,
        "bars:\n" + OLD.replace("\n  ", "\n\n  ") + "\n\n" + HEAD,
        "bars: []\n" + HEAD,
        HEAD + "bars:\n" + OLD.replace("why: it burns", "why: |\n    it\n\n    burns") + "holds: []\n",
        HEAD + "bars:\n" + OLD.replace("why: it burns\n", "why: |\n    it burns"),
        HEAD + "bars:\n" + OLD.replace("why: it burns\n", "why: |+\n    it burns\n\n\n"),
        HEAD + "bars:\n" + OLD.replace("why: it burns\n", "why: >-\n    it\n    burns\n"),
        HEAD + "bars:\n" + OLD.replace("why: it burns\n", 'why: "it\n\n   burns"\n  # c\n'),
        HEAD + "bars:\n" + OLD.replace("why: it burns\n", "why: it\n    burns # c\n"),
        HEAD + "bars:\n" + OLD.replace("ann", "&a ann") + OLD.replace("ann", "*a").replace("aa11", "cc33"),
        HEAD + "bars:\n" + OLD.replace("it burns", "&w it burns") + OLD.replace("aa11", "cc33").replace("it burns", "*w"),
        HEAD + "bars: &b\n" + OLD,
        HEAD + "bars: &b [] # x\n",
        HEAD + "bars:\n" + OLD.replace("why: it burns\n", "why: ''"),
        HEAD + 'bars:\n- ? workload\n  : aa11\n  ? by\n  : ann\n  since: "2026-11-16T10:00:00Z"\n  ? why\n  : x\n',
        HEAD + "holds:\n" + HOLD.replace("why: wait", "why: 'äöü 🦆'"),
        "# äöü 🦆\n" + HEAD + "bars:\n" + OLD + "# 🦆",
        HEAD + '"bars":\n' + OLD,
    ],
)  # fmt: skip
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_whatever_the_style_is(before: str, end: str) -> None:
    """The model is the old one and the bars, and nothing of the text is lost or moved."""
    before = before.replace("\n", end)
    old = read(before.encode())
    bars = (bar(), bar("dd44", why="two"))
    after = add(before, *bars)
    new = read(after.encode())
    assert set(new.bars) == {*old.bars, *bars}
    assert len(new.bars) == len(old.bars) + 2
    assert (new.holds, new.excused, new.metadata) == (old.holds, old.excused, old.metadata)
    more = inserted(before, after)
    assert end == "\n" or "\n" not in more.replace("\r\n", "")
    assert after.endswith("\n") == before.endswith("\n")


def test_a_file_that_is_not_there_is_made() -> None:
    made = edit.add(None, FILE, "chat", [bar(), bar("c", until="2027-01-01T00:00:00Z")])
    assert made.decode() == (
        "# yaml-language-server: $schema=../../schemas/promotion.schema.json\n"
        "# Bars, holds and excused clusters of the app. People edit it, and the bot adds bars.\n"
        'apiVersion: canaryfleet.dev/v1alpha1\nkind: Promotion\nmetadata:\n  name: chat\nbars:\n'
        + NEW
        + f'- workload: c\n  by: canaryfleet\n  since: "{SINCE}"\n  until: "2027-01-01T00:00:00Z"\n  why: "error rate 4%"\n'
    )  # fmt: skip


def test_nothing_to_add_changes_nothing() -> None:
    assert edit.add(HEAD.encode(), FILE, "chat", []) == HEAD.encode()


def test_a_file_that_can_not_be_read_is_not_touched() -> None:
    for text in (HEAD + "bars: {}\n", HEAD + "bars:\n", "x", HEAD + "more: 1\n", ""):
        with pytest.raises(Problems):
            add(text)


def test_where_there_is_no_place_it_says_so() -> None:
    text = HEAD.replace("metadata", "holds: &h []\nbars: *h\nmetadata")
    with pytest.raises(Problems, match=r"promotion.yaml:3:\d+: error CF184: no entry can be added here"):
        add(text)


LINES = [
    HEAD,
    HEAD + "# the end",
    HEAD + "bars:\n" + OLD,
    HEAD + "bars:\n" + OLD + "  # till June\n# end\n",
    HEAD + "holds:\n" + HOLD + "  # his\n\n# x\n",
    HEAD + "bars:\n" + OLD + "\n\n# holds\nholds: []\n",
    HEAD + "bars:\n- " + FLOW + " # x\n",
    "bars:\n" + OLD.replace("\n  ", "\n\n  ") + "\n\n" + HEAD,
    HEAD + "bars:\n" + OLD.replace("why: it burns", "why: |\n    it\n\n    burns") + "holds: []\n",
]
HOLDS = HoldEntry(wave="all", by="ann", since=SINCE, why="audit")
EXCUSES = Excuse(cluster="a", by="ann", since=SINCE, why="gone")


@pytest.mark.parametrize("before", LINES)
@pytest.mark.parametrize(("key", "entry"), [("bars", bar()), ("holds", HOLDS), ("excused", EXCUSES)])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_what_was_added_last_is_taken_out_without_a_trace(
    before: str, key: Any, entry: Any, end: str
) -> None:
    data = before.replace("\n", end).encode()
    added = edit.add(data, FILE, "chat", [entry], key)
    number = getattr(read(added), key).index(entry)
    assert edit.remove(added, FILE, [number], key) == data


THREE = (
    HEAD + "bars:\n# first\n" + OLD + "  # of the first\n# second\n" + OLD.replace("aa11", "bb22")
    + "# third\n" + OLD.replace("aa11", "cc33") + "# end\nholds: []\n"
)  # fmt: skip


@pytest.mark.parametrize("gone", [[0], [1], [2], [0, 2], [1, 0], [0, 1, 2]])
def test_an_entry_goes_with_its_lines_and_all_others_stay(gone: list[int]) -> None:
    after = edit.remove(THREE.encode(), FILE, gone, "bars").decode()
    known = [entry.workload for entry in read(THREE.encode()).bars]
    kept = [name for number, name in enumerate(known) if number not in gone]
    assert [entry.workload for entry in read(after.encode()).bars] == kept
    lines = iter(THREE.splitlines())
    assert all(line in lines for line in after.splitlines()), "what stays is as it was, and in its order"
    assert after.endswith("# end\nholds: []\n")
    assert ("# of the first" in after) == (0 not in gone)


@pytest.mark.parametrize(
    ("before", "gone", "after"),
    [
        (f"[{FLOW}]", [0], "[]"),
        (f"[{FLOW}, {FLOW}]", [0], f"[{FLOW}]"),
        (f"[{FLOW}, {FLOW}]", [1], f"[{FLOW}]"),
        (f"[{FLOW}, {FLOW}, {FLOW} # x\n]", [0, 1], f"[{FLOW} # x\n]"),
        (f"[{FLOW}, {FLOW}]", [0, 1], "[]"),
    ],
)
def test_an_entry_between_brackets_goes_with_its_comma(before: str, gone: list[int], after: str) -> None:
    made = edit.remove(f"{HEAD}bars: {before}\n".encode(), FILE, gone, "bars").decode()
    assert made == f"{HEAD}bars: {after}\n"


@pytest.mark.parametrize("text", [HEAD + f"bars: [{FLOW},]\n", HEAD + "bars:\n-\n  " + OLD[2:] + OLD])
def test_what_is_too_hard_is_for_people(text: str) -> None:
    with pytest.raises(Problems, match="CF184: this entry can't be taken out here"):
        edit.remove(text.encode(), FILE, [0], "bars")


TEXT = st.text(st.characters(codec="utf-8"), min_size=1, max_size=60)


@PROPERTY
@given(
    whys=st.lists(TEXT, min_size=1, max_size=3),
    style=st.sampled_from(["", "bars: []\n", f"bars: [{FLOW}]\n", "bars:\n" + OLD]),
)
def test_whatever_clusters_say(whys: list[str], style: str) -> None:
    """What they measured and how they failed is quoted in the bar's reason."""
    bars = [bar(f"w{number}", why=why) for number, why in enumerate(whys)]
    after = add(HEAD + style, *bars)
    found = read(after.encode()).bars[-len(bars) :]
    assert [item.workload for item in found] == [item.workload for item in bars]
    for item, wanted in zip(found, bars, strict=True):
        assert item.why == wanted.why or not wanted.why.isprintable()
    assert read(edit.add(None, FILE, "chat", bars)).bars == found


@PROPERTY
@given(st.data())
def test_bars_pile_up(data: st.DataObject) -> None:
    """However many times it is done, and whatever people put between."""
    text = HEAD + data.draw(st.sampled_from(["", "bars: []", "bars:\n" + OLD, "holds: []\n"]))
    for number in range(3):
        before = text
        text = add(text, bar(f"w{number}"))
        inserted(before, text)
        if data.draw(st.booleans()):
            text += data.draw(st.sampled_from(["# c", "\n", "\n# c\n", "  # c\n", "excused: []\n"])) if text.endswith("\n") and "excused" not in text else "\n"  # fmt: skip
    assert {item.workload for item in read(text.encode()).bars} >= {"w0", "w1", "w2"}


def test_a_new_file_is_read_again_too(monkeypatch: pytest.MonkeyPatch) -> None:
    emit = edit.emit
    monkeypatch.setattr(edit, "emit", lambda body, header: emit({**body, "bars": []}, header=header))
    with pytest.raises(Problems, match="CF184: what would be written says something else"):
        edit.add(None, FILE, "chat", [bar()])

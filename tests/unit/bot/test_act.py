"""Carrying a decision out: on real git and the local forge, with people, crashes and other bots in between."""

import re
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hands import APP, PILOT, Hands, Killed, dies_after, words
from msgspec.structs import replace

from canaryfleet import act, commits, landing, repo
from canaryfleet.act import Outcome
from canaryfleet.decide import decide
from canaryfleet.errors import Place, Problems, problem
from canaryfleet.files import Tree
from canaryfleet.landing import AUTHOR, EMAIL
from canaryfleet.models.decision import Decision, Move, Obsolete
from canaryfleet.models.promotion import Bar
from forges import sh
from world import fleet

OVERLAY = repo.overlay_path(APP, PILOT)


@pytest.fixture
def hands(tmp_path: Path) -> Hands:
    return Hands(tmp_path)


def refused(outcome: Outcome) -> str | None:
    return outcome.refused.code if outcome.refused else None


def anew(decision: Decision) -> act.Words:
    return words(decision, text="new")


def deeds(outcome: Outcome) -> list[str]:
    return [deed.what for deed in outcome.deeds]


def person_pushes(hands: Hands, branch: str, files: dict[str, str]) -> str:
    """A person commits on a branch of the bot."""
    sh(hands.ground.clone, "fetch", "-q", "origin")
    sh(hands.ground.clone, "checkout", "-q", "-B", branch, f"origin/{branch}")
    id = hands.ground.push(branch, files)
    sh(hands.ground.clone, "checkout", "-q", "main")
    return id


def as_bot(hands: Hands, branch: str, files: dict[str, str]) -> str:
    """Somebody commits on a branch under the bot's name."""
    clone = hands.ground.clone
    sh(clone, "fetch", "-q", "origin")
    sh(clone, "checkout", "-q", "-B", branch, f"origin/{branch}")
    for path, text in files.items():
        (clone / path).write_text(text)
    sh(clone, "add", "-A")
    who = {f"GIT_{role}_{what}": value for role in ("AUTHOR", "COMMITTER") for what, value in (("NAME", AUTHOR), ("EMAIL", EMAIL))}  # fmt: skip
    sh(clone, "commit", "-q", "-m", "m", **who)
    sh(clone, "push", "-q", "origin", branch)
    sh(clone, "checkout", "-q", "main")
    return hands.ground.tip(branch)


def main(hands: Hands, files: dict[str, str]) -> str:
    """A person commits on main."""
    sh(hands.ground.clone, "checkout", "-q", "main")
    sh(hands.ground.clone, "pull", "-q", "origin", "main")
    for path in files:
        (hands.ground.clone / path).parent.mkdir(parents=True, exist_ok=True)
    return hands.ground.push("main", files)


# --- what is made


def test_one_branch_one_commit_one_request(hands: Hands) -> None:
    bot = hands.clone()
    wanted = hands.decision(bot)
    outcome = hands.prepare(bot)
    assert (deeds(outcome), refused(outcome)) == (["push", "open"], None)
    branch = f"canaryfleet/{APP}/{wanted.key}"
    (request,) = hands.requests()
    assert request == outcome.request
    assert (request.branch, request.title) == (branch, f"{APP}: Start [{wanted.key}]")
    assert hands.branches() == {branch: request.head}
    base = hands.ground.tip()
    assert sh(hands.ground.bare, "rev-list", f"{base}..{branch}") == request.head
    assert sh(hands.ground.bare, "diff", "--name-only", base, branch) == OVERLAY
    message = sh(hands.ground.bare, "show", "-s", "--format=%an|%ae|%cn|%ce|%ct%n%B", branch)
    assert message.startswith(
        f"{AUTHOR}|{EMAIL}|{AUTHOR}|{EMAIL}|{int(hands.now.timestamp())}\n{APP}: Start\n\n"
    )
    assert landing.read(message) == landing.of(wanted)


def test_it_is_merged_as_it_was_judged(hands: Hands) -> None:
    bot = hands.clone()
    before = hands.pointers()
    request = hands.prepare(bot).request
    assert request is not None
    outcome = hands.land(bot)
    assert (deeds(outcome), refused(outcome)) == (["merge", "delete"], None)
    assert outcome.landed == hands.ground.tip()
    assert hands.pointers() == before | {PILOT: hands.second}
    assert hands.branches() == {}
    message = sh(hands.ground.bare, "show", "-s", "--format=%B", "main")
    assert message.startswith(f"{APP}: Start\n\n- why\n\n{landing.WORD}")


def test_what_stands_is_left_alone(hands: Hands) -> None:
    bot = hands.clone()
    first = hands.prepare(bot)
    hands.now += timedelta(minutes=5)
    again = hands.prepare(hands.clone())
    assert (deeds(again), again.request) == ([], first.request)


def test_a_text_is_written_only_where_it_says_something_else(hands: Hands) -> None:
    bot = hands.clone()
    hands.prepare(bot)
    hidden = f"<!-- canaryfleet-record v1 {'a' * 64} -->"
    assert deeds(hands.prepare(bot, say=lambda d: words(d, text=f"why\r\n\n{hidden}"))) == []
    assert deeds(hands.prepare(bot, say=lambda d: words(d, text="because"))) == ["edit"]
    assert deeds(hands.prepare(bot, say=lambda d: words(d, "title", "because"))) == ["edit"]
    (request,) = hands.requests()
    assert (request.title, request.body) == ("title", "because\n")
    assert deeds(hands.prepare(bot, say=lambda d: words(d, "title", "because"))) == []


def test_a_dry_run_only_tells(hands: Hands) -> None:
    bot = hands.clone()
    told: list[Any] = []
    outcome = hands.prepare(bot, dry=True, done=told.append)
    assert (deeds(outcome), outcome.request, told) == (["push", "open"], None, [])
    assert (hands.branches(), hands.requests()) == ({}, [])
    hands.prepare(bot)
    before, tip = hands.requests(), hands.ground.tip()
    wanted = hands.decision(bot, obsolete=(Obsolete(number=1, reason="x"),), moves=(), key="")
    outcome = hands.prepare(bot, wanted, dry=True)
    assert deeds(outcome) == ["close", "delete"]
    outcome = hands.land(bot, dry=True)
    assert (deeds(outcome), outcome.landed) == (["merge", "delete"], None)
    assert (hands.requests(), hands.ground.tip()) == (before, tip)


def test_nothing_to_do_asks_nobody(hands: Hands, monkeypatch: pytest.MonkeyPatch) -> None:
    bot = hands.clone()
    monkeypatch.setattr(hands.local, "requests", lambda _: pytest.fail("asked"))
    assert hands.prepare(bot, Decision(app=APP, kind="Hold", reasons=())) == Outcome()


def test_records_are_pushed_along(hands: Hands) -> None:
    bot, name = hands.clone(), "refs/canaryfleet/records/1"
    sh(bot, "update-ref", name, "HEAD")
    hands.prepare(bot, say=lambda d: words(d)._replace(refs=[name]))
    assert sh(hands.ground.bare, "rev-parse", name) == sh(bot, "rev-parse", name)


# --- killed


@pytest.mark.parametrize("what", ["push", "open", "merge", "delete"])
@pytest.mark.parametrize("elsewhere", [False, True])
def test_a_crash_after_any_side_effect_changes_nothing_about_the_end(
    hands: Hands, what: str, elsewhere: bool
) -> None:
    """Field 9, 13 and invariant 7: no second request, no lost and no doubled wave."""
    bot = hands.clone()
    if what in {"merge", "delete"}:
        hands.prepare(bot)
    with pytest.raises(Killed):
        (hands.prepare if what in {"push", "open"} else hands.land)(bot, done=dies_after(what))
    bot = hands.clone() if elsewhere else bot
    wanted = hands.decision(bot)
    if PILOT in {move.cluster for move in wanted.moves}:
        assert refused(hands.prepare(bot)) is None
        assert refused(hands.land(bot)) is None
    hands.prepare(bot, Decision(app=APP, kind="Hold", reasons=()))
    (request,) = hands.requests()
    assert request.state == "merged"
    assert hands.pointers()[PILOT] == hands.second
    assert hands.branches() == {}
    assert sh(hands.ground.bare, "log", "--format=%an", "main").splitlines().count(AUTHOR) == 1


@pytest.mark.parametrize("what", ["edit", "close", "delete"])
def test_a_crash_while_tidying_up_is_no_loss(hands: Hands, what: str) -> None:
    bot = hands.clone()
    hands.prepare(bot)
    wanted = hands.decision(bot, key="other", obsolete=(Obsolete(number=1, reason="another batch"),))
    with pytest.raises(Killed):
        hands.prepare(bot, None if what == "edit" else wanted, say=anew, done=dies_after(what))
    hands.prepare(bot, wanted)
    assert [(item.state, item.closedBy) for item in hands.requests()] == [("closed", AUTHOR), ("open", None)]
    assert list(hands.branches()) == [f"canaryfleet/{APP}/other"]


@pytest.mark.parametrize("what", ["open", "merge", "close"])
def test_an_answer_that_was_lost_is_found(hands: Hands, what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The forge has done it, and the connection broke."""
    bot, do = hands.clone(), getattr(hands.local, what)

    def lost(*args: Any) -> None:
        do(*args)
        raise problem(Place("."), "CF180", "the connection broke")

    stop = Decision(app=APP, kind="Hold", reasons=(), obsolete=(Obsolete(number=1, reason="x"),))
    with monkeypatch.context() as patch:
        patch.setattr(hands.local, what, lost)
        if what == "close":
            hands.prepare(bot)
            assert [item.code for item in hands.prepare(bot, stop).findings] == ["CF180"]
        if what == "merge":
            hands.prepare(bot)
        if what != "close":
            with pytest.raises(Problems, match="CF180"):
                (hands.prepare if what == "open" else hands.land)(bot)
    if what == "open":
        assert deeds(hands.prepare(bot)) == []
        assert deeds(hands.land(bot)) == ["merge", "delete"]
    else:
        assert deeds(hands.prepare(bot, replace(stop, obsolete=()))) == ["delete"]
    assert [item.state for item in hands.requests()] == ["closed" if what == "close" else "merged"]
    assert hands.branches() == {}


# --- two bots


def test_of_two_bots_one_is_too_late(hands: Hands) -> None:
    one, two = hands.clone(), hands.clone()
    with hands.means(one) as first, hands.means(two) as second:
        wanted = decide(hands.situation(first))
        assert deeds(act.prepare(first, wanted, words)) == ["push", "open"]
        late = act.prepare(second._replace(now=hands.now + timedelta(seconds=9)), wanted, words)
    assert (deeds(late), refused(late)) == ([], "raced")
    assert len(hands.requests()) == 1
    assert deeds(hands.prepare(two)) == []
    with hands.means(one) as first, hands.means(two) as second:
        situation = hands.situation(first)
        wanted = decide(situation)
        assert act.land(first, situation, wanted, words).landed
        late = act.land(second, situation, wanted, words)
    assert (deeds(late), refused(late)) == ([], "base-moved")
    assert sh(hands.ground.bare, "log", "--format=%an", "main").splitlines().count(AUTHOR) == 1


def test_a_stale_clone_overwrites_nothing(hands: Hands) -> None:
    """Field 9: what is pushed replaces only what was read."""
    one, two = hands.clone(), hands.clone()
    request = hands.prepare(one).request
    assert request is not None
    hands.decision(one)  # fetches what it has pushed; the other one knows of no branch
    head = person_pushes(hands, request.branch, {"README": "mine\n"})
    for clone in (one, two):
        outcome = hands.prepare(clone, stale=True, say=anew)
        assert (deeds(outcome), refused(outcome)) == ([], "raced")
    assert hands.ground.tip(request.branch) == head


# --- people


def test_a_branch_on_which_a_person_has_committed_is_theirs(hands: Hands) -> None:
    bot = hands.clone()
    request = hands.prepare(bot).request
    assert request is not None
    head = person_pushes(hands, request.branch, {OVERLAY: "theirs\n"})
    wanted = hands.decision(bot, obsolete=(Obsolete(number=1, reason="x"),))
    for outcome in (hands.prepare(bot, wanted), hands.land(bot, wanted)):
        assert (deeds(outcome), refused(outcome)) == ([], "touched")
    # not even for another decision, and not when it is closed
    other = replace(wanted, key="other")
    assert deeds(hands.prepare(bot, other)) == ["push", "open"]
    hands.local.shut(1, AUTHOR)
    assert deeds(hands.prepare(bot, other)) == []
    assert hands.ground.tip(request.branch) == head


def test_a_request_that_a_person_closed_in_between_stays_closed(hands: Hands) -> None:
    bot = hands.clone()
    wanted = hands.decision(bot)
    hands.prepare(bot, wanted)
    hands.local.shut(1, "ann", "no")
    outcome = hands.prepare(bot, wanted)
    assert (deeds(outcome), refused(outcome)) == ([], "declined")
    assert refused(hands.land(bot, wanted)) == "no-request"
    # its branch stays whatever is decided next, for they may open it again
    assert deeds(hands.prepare(bot, Decision(app=APP, kind="Hold", reasons=()))) == []
    assert len(hands.branches()) == 1
    hands.local.reopen(1)
    assert refused(hands.prepare(bot, wanted)) is None
    assert [item.state for item in hands.requests()] == ["open"]


def test_what_the_bot_closed_may_come_back(hands: Hands) -> None:
    bot = hands.clone()
    wanted = hands.decision(bot)
    hands.prepare(bot, wanted)
    hands.prepare(bot, Decision(app=APP, kind="Hold", reasons=(), obsolete=(Obsolete(number=1, reason="x"),)))
    assert hands.branches() == {}
    assert deeds(hands.prepare(bot, wanted)) == ["push", "open"]
    assert [item.state for item in hands.requests()] == ["closed", "open"]


def test_a_request_that_a_person_merged_in_between_is_not_made_again(hands: Hands) -> None:
    bot = hands.clone()
    wanted = hands.decision(bot)
    hands.prepare(bot, wanted)
    with hands.means(bot) as means:
        hands.local.land(1, "ann")
        outcome = act.prepare(means, wanted, words)
    assert (deeds(outcome), refused(outcome)) == ([], "merged-already")
    assert deeds(hands.prepare(bot, Decision(app=APP, kind="Hold", reasons=()))) == ["delete"]


def test_a_branch_that_a_person_removed_is_made_again(hands: Hands) -> None:
    bot = hands.clone()
    wanted = hands.decision(bot)
    hands.prepare(bot, wanted)
    hands.ground.remove(act.branch_of(wanted))
    assert deeds(hands.prepare(bot, wanted)) == ["push", "open"]


# --- the default branch moves on


def test_an_approved_head_is_not_written_anew_for_nothing(hands: Hands) -> None:
    """Reviews are of a commit: other files of the default branch, the time and the evidence take none away."""
    bot = hands.clone()
    request = hands.prepare(bot).request
    assert request is not None
    hands.local.review(1, "ann")
    main(hands, {"README": "new\n", "overlays/other/clusters/eu-2/kustomization.yaml": "x\n"})
    hands.now += timedelta(hours=3)
    outcome = hands.prepare(bot)
    assert (deeds(outcome), outcome.request and outcome.request.head) == ([], request.head)
    assert outcome.request
    assert [item.head for item in outcome.request.reviews] == [request.head]
    assert hands.land(bot).landed
    assert sh(hands.ground.bare, "show", "main:README") == "new"


def test_live_settings_that_changed_take_no_review_away(hands: Hands) -> None:
    bot = hands.clone()
    request = hands.prepare(bot).request
    assert request is not None
    text = (hands.ground.clone / OVERLAY).read_text()
    assert text.count("value: 1\n") == 1
    main(hands, {OVERLAY: text.replace("value: 1\n", "value: 7\n")})
    assert deeds(hands.prepare(bot)) == []
    assert hands.land(bot).landed
    assert "value: 7\n" in sh(hands.ground.bare, "show", f"main:{OVERLAY}")


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        ("# Made by", "# Edited. Made by", "other-content"),
        ("\nresources:\n", "\nresources: # x\n", "conflict"),
    ],
)
def test_a_branch_is_made_anew_when_merging_it_would_give_something_else(
    hands: Hands, old: str, new: str, why: str
) -> None:
    bot = hands.clone()
    request = hands.prepare(bot).request
    assert request is not None
    text = (hands.ground.clone / OVERLAY).read_text()
    head = main(hands, {OVERLAY: text.replace(old, new)})
    outcome = hands.land(bot)
    assert (deeds(outcome), refused(outcome)) == ([], why)
    assert deeds(hands.prepare(bot)) == ["push"]
    (again,) = hands.requests()
    assert again.head != request.head
    assert sh(hands.ground.bare, "rev-parse", f"{again.head}^") == head
    assert hands.land(bot).landed


@pytest.mark.parametrize(
    ("path", "held"),
    [
        ("README", False),
        ("specs/other/canary.yaml", False),
        ("overlays/other/clusters/eu-2/kustomization.yaml", False),
        (f"overlays/other/clusters/{PILOT}/kustomization.yaml", True),
        (f"overlays/{APP}/promotion.yaml", True),
        (f"specs/{APP}/canary.yaml", True),
        ("fleet.yaml", True),
        ("clusters/us-1.yaml", True),
    ],
)
def test_what_is_merged_in_between_counts_if_it_matters(hands: Hands, path: str, held: bool) -> None:
    """Of the one branch that all apps share the head says nothing; what was decided on does."""
    bot = hands.clone()
    hands.prepare(bot)
    with hands.means(bot) as means:
        situation = hands.situation(means)
        main(hands, {path: "changed\n"})
        outcome = act.land(means, situation, decide(situation), words)
    assert refused(outcome) == ("base-moved" if held else None)
    assert (hands.requests()[0].state == "open") is held
    assert "changed" in sh(hands.ground.bare, "show", f"main:{path}")


def test_a_head_that_moved_after_it_was_read_is_not_merged(hands: Hands) -> None:
    """Field 13: only the head that was judged."""
    bot = hands.clone()
    request = hands.prepare(bot).request
    assert request is not None
    with hands.means(bot) as means:
        situation = hands.situation(means)
        person_pushes(hands, request.branch, {"README": "more\n"})
        outcome = act.land(means, situation, decide(situation), words)
    assert (deeds(outcome), refused(outcome)) == ([], "head-moved")
    assert hands.pointers()[PILOT] == hands.first


def test_what_somebody_adds_in_the_bots_name_is_not_merged(hands: Hands) -> None:
    bot = hands.clone()
    request = hands.prepare(bot).request
    assert request is not None
    as_bot(hands, request.branch, {"README": "smuggled\n"})
    outcome = hands.land(bot)
    assert (deeds(outcome), refused(outcome)) == ([], "other-content")
    assert deeds(hands.prepare(bot)) == ["push"]
    assert hands.land(bot).landed
    assert sh(hands.ground.bare, "show", "main:README") == "fleet"


# --- limits


def test_a_tree_that_breaks_a_limit_is_not_merged(hands: Hands) -> None:
    """Field 2: whatever the decision says, the tree that the merge produces is looked at."""
    bot = hands.clone()
    moves = tuple(
        Move(cluster=name, from_=hands.first, to=hands.second, fallback=hands.first)
        for name in ("eu-1", "eu-2")
    )
    wanted = hands.decision(bot, moves=moves, key="wrong")
    hands.prepare(bot, wanted)
    outcome = hands.land(bot, wanted)
    assert (deeds(outcome), refused(outcome)) == ([], "breaks-limit")
    assert set(hands.pointers().values()) == {hands.first}


def test_what_is_not_ready_is_not_merged(hands: Hands) -> None:
    bot = hands.clone()
    hands.prepare(bot)
    assert refused(hands.land(bot, hands.decision(bot, ready=False))) == "not-ready"
    assert refused(hands.land(bot, Decision(app=APP, kind="Hold", reasons=(), ready=True))) == "not-ready"
    assert refused(hands.land(bot, hands.decision(bot, key="none"))) == "no-request"
    assert hands.requests()[0].state == "open"


def test_what_the_forge_does_not_merge_stays_open(hands: Hands, monkeypatch: pytest.MonkeyPatch) -> None:
    from canaryfleet.forges import NotMerged

    def no(*_: Any) -> str:
        raise NotMerged("a required status is missing")

    bot = hands.clone()
    hands.prepare(bot)
    monkeypatch.setattr(hands.local, "merge", no)
    outcome = hands.land(bot)
    assert (deeds(outcome), refused(outcome)) == ([], "not-merged")
    assert len(hands.branches()) == 1


def test_a_decision_that_main_says_already_makes_nothing(hands: Hands) -> None:
    bot = hands.clone()
    same = Move(cluster="eu-2", from_=hands.first, to=hands.first)
    outcome = hands.prepare(bot, hands.decision(bot, moves=(same,)))
    assert (deeds(outcome), refused(outcome)) == ([], "nothing")


# --- rollback


def back(hands: Hands) -> Path:
    """The pilot has the second release, and it fails there."""
    bot = hands.clone()
    hands.prepare(bot)
    assert hands.land(bot).landed
    hands.bad = (PILOT,)
    return bot


def test_a_rollback_goes_past_a_freeze_and_bars(hands: Hands) -> None:
    bot = back(hands)
    with hands.means(bot) as means:
        situation = replace(hands.situation(means), fleet=fleet(paused=True))
        wanted = decide(situation)
        assert wanted.kind == "Rollback"
        assert deeds(act.prepare(means, wanted, words)) == ["push", "open"]
    with hands.means(bot) as means:
        situation = replace(hands.situation(means), fleet=fleet(paused=True))
        assert act.land(means, situation, decide(situation), words).landed
    assert set(hands.pointers().values()) == {hands.first}
    assert [bar.by for bar in bars(hands, "main")] == ["canaryfleet"]


def test_a_bar_keeps_the_time_of_its_branch(hands: Hands) -> None:
    """A rollback that waits for a person is not written anew each time somebody looks."""
    bot = back(hands)
    request = hands.prepare(bot).request
    assert request is not None
    since = hands.now
    hands.now += timedelta(minutes=30)
    assert deeds(hands.prepare(bot)) == []
    assert hands.land(bot).landed
    (bar,) = bars(hands, "main")
    assert bar.since == since.strftime("%Y-%m-%dT%H:%M:%SZ")
    said = landing.read(sh(hands.ground.bare, "show", "-s", "--format=%B", "main"))
    assert said is not None
    assert said.bars == (bar,)


@pytest.mark.parametrize(
    "spoilt", [{"since": "2099-01-01T00:00:00Z"}, {"until": "2026-11-02T09:00:01Z"}, {"by": "ann"}]
)
def test_a_bar_that_would_not_hold_is_not_kept(hands: Hands, spoilt: dict[str, str]) -> None:
    bot = back(hands)
    wanted = hands.decision(bot)
    request = hands.prepare(bot, wanted).request
    assert request is not None
    (bar,) = wanted.bars
    wrong = replace(bar, **spoilt)
    branch = request.branch
    path = f"overlays/{APP}/promotion.yaml"
    text = sh(hands.ground.bare, "show", f"{branch}:{path}")
    for name, value in spoilt.items():
        text = re.sub(rf"\n  {name}: .*", "", text).replace("\n  why:", f'\n  {name}: "{value}"\n  why:')
    as_bot(hands, branch, {path: text + "\n"})
    assert wrong in bars(hands, branch)
    assert deeds(hands.prepare(bot, wanted)) == ["push"]
    assert bars(hands, branch) == [bar]


def bars(hands: Hands, branch: str) -> list[Bar]:
    sh(hands.ground.clone, "fetch", "-q", "origin")
    with commits.worktree(hands.ground.clone, f"refs/remotes/origin/{branch}") as folder:
        known = repo.promotion(Tree(folder), APP)
        return list(known.bars) if known else []


def test_what_a_commit_ends_is_written_anew(hands: Hands) -> None:
    """A person may merge it with the message that it has: the next run takes from there what was ended."""
    bot = back(hands)
    wanted = hands.decision(bot)
    hands.prepare(bot, wanted)
    assert deeds(hands.prepare(bot, replace(wanted, ends=(hands.second, "another")))) == ["push"]
    message = sh(hands.ground.bare, "show", "-s", "--format=%B", act.branch_of(wanted))
    read = landing.read(message)
    assert read is not None
    assert read.ends == (hands.second, "another")


# --- tidying up


def test_what_is_obsolete_is_closed_with_the_reason(hands: Hands) -> None:
    bot = hands.clone()
    hands.prepare(bot)
    wanted = hands.decision(bot, key="other", obsolete=(Obsolete(number=1, reason="another batch"),))
    outcome = hands.prepare(bot, wanted)
    assert deeds(outcome) == ["push", "open", "close", "delete"]
    assert str(outcome.deeds[2]) == f"close pull request 1 of {hands.requests()[0].branch}: another batch"
    assert list(hands.branches()) == [f"canaryfleet/{APP}/other"]
    assert deeds(hands.prepare(bot, wanted)) == []


def test_trouble_with_an_old_request_holds_no_rollback(hands: Hands, monkeypatch: pytest.MonkeyPatch) -> None:
    def no(*_: Any) -> None:
        raise problem(Place("."), "CF180", "not allowed")

    bot = hands.clone()
    hands.prepare(bot)
    monkeypatch.setattr(hands.local, "close", no)
    wanted = hands.decision(bot, key="other", obsolete=(Obsolete(number=1, reason="x"),))
    outcome = hands.prepare(bot, wanted)
    assert deeds(outcome) == ["push", "open"]
    assert [item.code for item in outcome.findings] == ["CF180"]


def test_a_branch_that_nobody_opened_goes_after_an_hour(hands: Hands) -> None:
    bot = hands.clone()
    wanted, rest = hands.decision(bot), Decision(app=APP, kind="Hold", reasons=())
    with pytest.raises(Killed):
        hands.prepare(bot, wanted, done=dies_after("push"))
    hands.now += timedelta(minutes=59)
    assert deeds(hands.prepare(bot, rest)) == []
    hands.now += timedelta(minutes=2)
    assert deeds(hands.prepare(bot, wanted, dry=True)) == ["open"]
    assert deeds(hands.prepare(bot, rest)) == ["delete"]
    assert hands.branches() == {}


def test_branches_of_people_and_of_other_apps_stay(hands: Hands) -> None:
    bot = hands.clone()
    head = hands.ground.tip()
    for branch in (f"canaryfleet/{APP}2/1", "canaryfleet/other/1"):
        sh(hands.ground.clone, "push", "-q", "origin", f"{head}:refs/heads/{branch}")
    person_pushes(hands, f"canaryfleet/{APP}2/1", {"README": "x\n"})
    sh(
        hands.ground.clone,
        "push",
        "-q",
        "origin",
        f"origin/canaryfleet/{APP}2/1:refs/heads/canaryfleet/{APP}/mine",
    )
    hands.now += timedelta(days=9)
    assert deeds(hands.prepare(bot, Decision(app=APP, kind="Hold", reasons=()))) == []
    assert len(hands.branches()) == 3

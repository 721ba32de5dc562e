"""Who is told what, and once: by bots of which none remembers anything, on real git, with a real webhook."""

import json
import shutil
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml
from webhooks import Receiver

from canaryfleet import bot, commits, git, news, notify
from canaryfleet.journal import Journal
from canaryfleet.news import Told
from canaryfleet.serve import Figures, Loop, Settings
from canaryfleet.told import REFS
from shaken import Killed, killed
from story import Story

REF = f"{REFS}chat"
STEP = timedelta(minutes=30)
WHO = ("canaryfleet", "canaryfleet@users.noreply.invalid")


class Town:
    """A story in which people are told, and what they are told."""

    def __init__(self, story: Story, receiver: Receiver) -> None:
        self.story, self._receiver, self._seen = story, receiver, 0

    def news(self) -> list[str]:
        """What has come since it was asked last."""
        new = self._receiver.got[self._seen :]
        self._seen += len(new)
        return [json.loads(got.body)["kind"] for got in new]

    def tell_the_team(self, **about: Any) -> None:
        """fleet.yaml names a webhook."""
        self.story.pull()
        path = self.story.people / "fleet.yaml"
        team = {"name": "team", "type": "webhook", "urlFrom": "TEAM_URL", "secretFrom": "TEAM_KEY", **about}
        path.write_text(yaml.safe_dump(yaml.safe_load(path.read_text()) | {"notify": [team]}))
        self.story.commit("tell the team")

    def cron(self, forge: Any = None, **way: Any) -> list[str]:
        """A run in a fresh clone; what people hear of it."""
        story = self.story
        shutil.rmtree(story.clone)
        story.git("clone", "-q", str(story.bare), str(story.clone), at=story.bare.parent)
        bot.run_once(story.bot(forge), ["chat"], **({"dry": False, "as_json": False} | way))
        return self.news()

    def runs(self, count: int) -> list[str]:
        """So many runs, while the clusters follow."""
        heard: list[str] = []
        for _ in range(count):
            self.story.sync()
            self.story.now += STEP
            heard += self.cron()
        return heard

    def known(self, files: dict[str, bytes] | None = None, **told: Any) -> str:
        """Somebody writes down that people know this; the commit."""
        story, said = self.story, json.dumps({"release": self.story.candidate()} | told).encode()
        files = files or {"told.json": said}
        made = git.alone(story.people, files, "ann <ann@acme.example>", "x", story.now)
        story.git("push", "-q", "--force", "origin", f"{made}:{REF}")
        return made

    def git(self, *words: str) -> str:
        """What git prints in the shared repository."""
        return self.story.git(*words, at=self.story.bare).strip()

    def held(self, yes: bool) -> None:
        """A person writes a promotion.yaml that can't be read, which holds the app; or takes it away."""
        self.story.pull()
        path = self.story.people / "overlays/chat/promotion.yaml"
        path.write_text("{") if yes else path.unlink()
        self.story.commit("change promotion.yaml")

    @property
    def refs(self) -> dict[str, str]:
        """What is remembered, of which app."""
        lines = self.git("for-each-ref", "--format=%(refname) %(objectname)", REFS).splitlines()
        return dict(line.split() for line in lines)

    @property
    def written(self) -> Any:
        """What is written down of the app."""
        return json.loads(self.git("show", f"{REF}:told.json"))


@pytest.fixture(scope="module")
def seed(tmp_path_factory: pytest.TempPathFactory) -> Story:
    """1.0.0 is everywhere."""
    found = Story(tmp_path_factory.mktemp("seed"))
    found.until_rest()
    return found


@pytest.fixture
def silent(seed: Story, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Town]:
    """1.0.0 is everywhere, and fleet.yaml names nobody."""
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with Receiver() as receiver:
        monkeypatch.setenv("TEAM_URL", receiver.url)
        monkeypatch.setenv("TEAM_KEY", "s3cr3t-of-the-tests")
        yield Town(seed.fork(tmp_path / "story"), receiver)


@pytest.fixture
def town(silent: Town) -> Town:
    """1.0.0 is everywhere, and a webhook is told of everything."""
    silent.tell_the_team()
    return silent


# By cron


def test_by_cron_the_start_of_each_wave_and_the_end_are_told_once(town: Town) -> None:
    assert town.runs(1) == []
    assert town.written == {"done": True, "release": town.story.candidate()}
    town.story.release("1.1.0")
    assert town.runs(6) == ["start", "start", "done"]
    assert town.runs(1) == []


def test_by_cron_a_hold_and_the_end_after_it_are_told_once(town: Town) -> None:
    town.cron()
    town.held(True)
    assert town.cron() + town.cron() == ["hold"]
    assert town.written["asked"] == ["promotion-unreadable"]
    town.held(False)
    assert town.cron() + town.cron() == ["done"]


def test_by_cron_a_failure_and_the_hold_that_follows_are_told_once(town: Town) -> None:
    town.runs(1)
    town.story.moods["1.1.0"] = "bad"
    town.story.release("1.1.0")
    assert town.runs(4) == ["start", "fail", "hold"]
    assert town.written["asked"] == ["barred"]


def test_whom_a_spec_names_hears_of_its_failure_though_the_bots_clone_is_older(silent: Town) -> None:
    silent.tell_the_team(on=["done"])
    silent.cron()
    story = silent.story
    story.moods["1.1.0"] = "bad"
    story.release("1.1.0", rollback={"notify": ["team"]})
    for _ in range(3):
        story.sync()
        story.now += STEP
        bot.run_once(story.bot(), ["chat"], dry=False, as_json=False)
    assert silent.news() == ["fail"]


def test_by_cron_what_opened_a_pull_request_is_not_told_again_as_a_hold(town: Town) -> None:
    town.runs(1)
    town.story.pull()
    town.story.release("1.1.0", waves=[{"name": "first", "approval": "required"}])
    assert town.runs(2) == ["hold"]
    assert town.written["asked"] == ["approval-missing"]
    town.story.approve()
    assert town.runs(1) == ["start"]


def test_the_first_run_of_all_tells_nothing_that_was_so_before(town: Town) -> None:
    assert town.refs == {}
    assert town.cron() == []
    assert list(town.refs) == [REF]
    shown = town.git("log", "--format=%an,%ae,%cn,%ce,%P", REF)
    assert shown == ",".join([*WHO, *WHO, ""])
    before = town.refs
    assert town.cron() == []
    assert town.refs == before  # nothing has changed: nothing is pushed


def test_what_has_become_so_since_is_told_once_and_a_dry_run_neither_tells_nor_reads_nor_writes(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    town.known()
    before = town.refs
    with monkeypatch.context() as patch:
        patch.setattr(commits, "fetch_refs", refuse)
        assert town.cron(dry=True) == []
    assert town.refs == before
    assert town.cron() == ["done"]
    assert town.cron() == []


def test_without_anybody_to_tell_there_is_no_ref_and_no_fetch(
    silent: Town, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(commits, "fetch_refs", refuse)
    assert silent.cron() == []
    assert silent.refs == {}
    assert "CF186" not in capsys.readouterr().err


def test_who_can_not_be_told_is_no_reason_to_remember(
    town: Town, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("TEAM_KEY")
    assert town.cron() == []
    assert town.refs == {}
    assert "CF186" in capsys.readouterr().err


def refuse(*_: Any) -> None:
    raise AssertionError("git is asked")


# Two at once


class Between:
    """A forge at whose first question something happens: after what people know was read, before the decision."""

    def __init__(self, story: Story, happens: Callable[[], Any]) -> None:
        self._forge, self._happens = story.forge, [happens]

    def __getattr__(self, name: str) -> Any:
        if name == "requests" and self._happens:
            self._happens.pop()()
        return getattr(self._forge, name)


def test_of_two_bots_in_the_same_second_one_tells(town: Town, tmp_path: Path) -> None:
    town.known()
    story, heard = town.story, []
    clone = tmp_path / "other"

    def other() -> None:
        story.git("clone", "-q", str(story.bare), str(clone), at=tmp_path)
        bot.run_once(story.bot()._replace(root=str(clone)), ["chat"], dry=False, as_json=False)
        heard.append(town.news())

    assert town.cron(Between(story, other)) == []
    assert heard == [["done"]]
    assert town.cron() == []


def test_who_decided_on_what_is_old_by_now_says_nothing(
    town: Town, capsys: pytest.CaptureFixture[str]
) -> None:
    town.known()
    assert town.cron(Between(town.story, lambda: town.known(asked=["barred"]))) == []
    assert town.written["asked"] == ["barred"]
    assert "CF186" not in capsys.readouterr().err


def test_a_bot_that_is_killed_while_it_tells_is_not_followed_by_one_that_tells_it_again(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    town.known()
    with monkeypatch.context() as patch:
        patch.setattr(notify, "send", lambda *_, **__: killed())
        with pytest.raises(Killed):
            town.cron()
    assert town.cron() == []


# What can't be read or written


@pytest.mark.parametrize(
    "files",
    [
        {"told.json": b"{"},
        {"told.json": b""},
        {"told.json": b"[]"},
        {"told.json": b'{"more":1}'},
        {"told.json": b'{"done":"yes"}'},
        {"told.json": b'{"asked":["no-such-code"]}'},
        {"told.json": b"[" * 5000},
        {"told.json": b" " * (16 << 10) + b"{}"},
        {"other": b"{}"},
    ],
)
def test_a_ref_with_something_else_tells_nothing_and_is_put_right(
    town: Town, files: dict[str, bytes], capsys: pytest.CaptureFixture[str]
) -> None:
    town.known(files)
    assert town.cron() == []
    assert f"CF186: what people were told last of chat is not known: {REF}" in capsys.readouterr().err
    assert town.written == {"done": True, "release": town.story.candidate()}
    assert town.cron() == []
    assert "CF186" not in capsys.readouterr().err


def test_a_ref_that_is_no_commit_tells_nothing_and_is_put_right(town: Town) -> None:
    town.git("update-ref", REF, town.git("rev-parse", "main:fleet.yaml"))
    assert town.cron() == []
    assert town.written["done"] is True


def test_what_can_not_be_fetched_is_not_told_and_not_overwritten(
    town: Town, capsys: pytest.CaptureFixture[str]
) -> None:
    made = town.known()
    blob = town.git("rev-parse", f"{made}:told.json")
    file = town.story.bare / "objects" / blob[:2] / blob[2:]
    lost = file.rename(town.story.bare / "lost")
    assert town.cron() == []
    assert "CF186: what people were told last can't be read: `git fetch` failed" in capsys.readouterr().err
    assert town.refs == {REF: made}
    lost.rename(file)
    assert town.cron() == ["done"]


def test_while_nothing_can_be_written_down_nothing_is_told(
    town: Town, capsys: pytest.CaptureFixture[str]
) -> None:
    made = town.known()
    hook = town.story.bare / "hooks" / "pre-receive"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text("#!/bin/sh\necho not on my watch >&2\nexit 1\n")
    hook.chmod(0o755)
    for _ in range(2):
        assert town.cron() == []
        said = capsys.readouterr().err
        assert "CF186: people are not told what has become of chat" in said
        assert "not on my watch" in said
    assert town.refs == {REF: made}
    hook.unlink()
    assert town.cron() == ["done"]
    assert town.cron() == []


def test_what_a_run_did_itself_is_told_whether_or_not_it_can_be_written_down(town: Town) -> None:
    town.runs(1)
    hook = town.story.bare / "hooks" / "update"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text(f'#!/bin/sh\ncase "$1" in {REFS}*) exit 1;; esac\n')
    hook.chmod(0o755)
    town.story.pull()
    town.story.release("1.1.0")
    assert town.runs(1) == ["start"]


# As a service


class Leases:
    """Of one app, set by hand."""

    def __init__(self) -> None:
        self.mine = True

    def held(self, app: str) -> bool:
        return self.mine

    def want(self, apps: Any) -> None:
        """All the same."""

    def start(self) -> None:
        """It runs."""

    def close(self) -> None:
        """It ends."""


class Service:
    """A process of the service, turned by hand."""

    def __init__(self, town: Town) -> None:
        self.town, self.leases, self.seconds = town, Leases(), 0.0
        self._loop = Loop(
            lambda _: town.story.run().outcome, lambda: ["chat"], Settings(), journal=Journal(), figures=Figures(),
            sharing=self.leases, tell=bot.Teller(town.story.bot()), clock=lambda: self.seconds,
        )  # fmt: skip

    def turns(self, count: int = 4) -> list[str]:
        """What people hear in some turns, of which each second one is a run."""
        for _ in range(count):
            self.seconds += self._loop.turn()
        return self.town.news()


def test_a_service_that_starts_anew_tells_what_is_news_and_nothing_again(town: Town) -> None:
    town.story.git("pull", "-q", at=town.story.clone)
    town.known()
    assert Service(town).turns() == ["done"]
    assert Service(town).turns() == []
    town.known()  # as if it became so while no service ran
    assert Service(town).turns() == ["done"]


def test_a_service_asks_git_once_and_writes_only_what_is_news(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    town.story.git("pull", "-q", at=town.story.clone)
    calls: list[str] = []
    for name in ("fetch_refs", "swap"):
        real = getattr(commits, name)
        monkeypatch.setattr(commits, name, lambda *a, real=real, name=name: (calls.append(name), real(*a))[1])
    Service(town).turns(8)
    assert calls == ["fetch_refs", "swap"]


def test_who_takes_an_app_over_reads_what_others_have_told_meanwhile(town: Town) -> None:
    town.story.git("pull", "-q", at=town.story.clone)
    town.known()
    one = Service(town)
    assert one.turns() == ["done"]
    two = Service(town)
    assert two.turns() == []
    one.leases.mine = False
    one.turns()
    town.known(asked=["barred"])  # the other has told of a hold
    one.leases.mine = True
    assert one.turns() == ["done"]


def test_of_two_services_without_leases_each_change_is_told_by_one(town: Town) -> None:
    town.story.git("pull", "-q", at=town.story.clone)
    one, two = Service(town), Service(town)
    assert one.turns(2) + two.turns(2) == []
    heard = []
    for yes, first, second in ((True, one, two), (False, two, one)):
        town.held(yes)
        for _ in range(2):
            heard += [first.turns(2), second.turns(2)]
    assert heard == [["hold"], [], [], [], ["done"], [], [], []]


# What is written down


def test_what_is_written_down_is_read_as_the_same() -> None:
    whole = Told(done=True, release="1-x", asked=("barred", "failed"))
    assert msgspec.json.decode(msgspec.json.encode(whole), type=Told, strict=True) == whole
    assert news.Told() == Told(done=False, release=None, asked=())

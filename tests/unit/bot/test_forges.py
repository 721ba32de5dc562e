"""What every forge promises, on each of them: the local one, and two that speak over HTTP with a server like theirs."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from canaryfleet.errors import Problems
from canaryfleet.forges import Forge, NotMerged, connect, gitea, github, opinions
from canaryfleet.forges.rest import World
from canaryfleet.models.decision import Review
from canaryfleet.models.fleet import Forge as Settings
from canaryfleet.models.forge import CommitStatus
from fake_forge import REPOSITORY, TOKEN, FakeForge, gateway, lost
from forges import Ground, sh

BRANCH = "canaryfleet/chat/k1"
REMOTE = ["github", "gitea"]


class Stand:
    """A forge to ask, and those around it."""

    def __init__(self, ground: Ground, forge: Forge, server: FakeForge | None = None) -> None:
        self.ground, self.forge, self.server = ground, forge, server

    def open(self) -> int:
        """The bot's pull request of the branch."""
        return self.forge.open(BRANCH, "main", "chat: europe", "Why.").number

    def writes(self) -> int:
        """How many writes the server was asked for."""
        return len(self.server.wrote()) if self.server else 0


def world(ground: Ground) -> World:
    """Time is the repository's; whoever sleeps lets it go by."""

    def now() -> float:
        return ground.clock.now.timestamp()

    return World(now, lambda seconds: ground.clock.pass_(seconds=seconds), lambda: 0.5)


def hosted(ground: Ground, server: FakeForge) -> Forge:
    settings = Settings(type=server.dialect, repository=REPOSITORY, url=server.url)
    if server.dialect == "github":
        return github.connect(settings, "", {"GITHUB_TOKEN": TOKEN}, world(ground))
    return gitea.connect(settings, "", {"CANARYFLEET_GITEA_TOKEN": TOKEN}, world(ground))


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Ground:
    return Ground(tmp_path_factory.mktemp("template"), BRANCH)


@pytest.fixture(params=["local", *REMOTE])
def stand(request: pytest.FixtureRequest, template: Ground, tmp_path: Path) -> Iterator[Stand]:
    ground = template.copy(tmp_path)
    if request.param == "local":
        yield Stand(ground, ground.local)
        return
    with FakeForge(ground, request.param) as server:
        yield Stand(ground, hosted(ground, server), server)


over_http = pytest.mark.parametrize("stand", REMOTE, indirect=True)


# Opening and finding


def test_it_opens_once_and_finds_afterwards(stand: Stand) -> None:
    assert stand.forge.requests("canaryfleet/chat/") == []
    opened = stand.forge.open(BRANCH, "main", "chat: europe", "Why.")
    assert (opened.branch, opened.base, opened.head) == (BRANCH, "main", stand.ground.tip(BRANCH))
    assert (opened.title, opened.body, opened.state, opened.landed) == ("chat: europe", "Why.", "open", None)
    assert opened.author == stand.forge.me
    again = stand.forge.open(BRANCH, "main", "another title", "another text")
    assert again == opened
    assert stand.forge.requests("canaryfleet/chat/") == [opened]
    assert stand.forge.everybody() == [opened]


def test_a_branch_that_is_not_there_or_has_nothing_is_refused(stand: Stand) -> None:
    stand.ground.push("canaryfleet/chat/same", {"x": "1"}, onto="main")
    sh(stand.ground.clone, "push", "-q", "--force", "origin", "main:canaryfleet/chat/same")
    for branch in ("canaryfleet/chat/none", "canaryfleet/chat/same"):
        with pytest.raises(Problems, match="CF180"):
            stand.forge.open(branch, "main", "t", "b")
    assert stand.forge.everybody() == []


def test_only_the_bots_own_of_the_prefix_are_its_requests(stand: Stand) -> None:
    number = stand.open()
    other = stand.ground.push("canaryfleet/chat/k2", {"x": "1"}, onto="main")
    stand.ground.push("canaryfleet/chatty/k1", {"y": "1"}, onto="main")
    theirs = stand.ground.local.propose("alice", "canaryfleet/chat/k2", "main", "t", "b")
    stand.forge.open("canaryfleet/chatty/k1", "main", "t", "b")
    assert [found.number for found in stand.forge.requests("canaryfleet/chat/")] == [number]
    assert [found.number for found in stand.forge.requests("canaryfleet/")] == [3, 1]
    found = {each.number: each for each in stand.forge.everybody()}
    assert sorted(found) == [1, 2, 3]
    assert (found[theirs.number].author, found[theirs.number].head) == ("alice", other)


def test_its_head_is_what_was_pushed_last(stand: Stand) -> None:
    stand.open()
    head = stand.ground.push(BRANCH, {"pointer": "newer\n"})
    assert [found.head for found in stand.forge.requests("canaryfleet/")] == [head]


def test_title_and_text_are_replaced(stand: Stand) -> None:
    text = "Ein Umlaut: ü\n\n| a | b |\n<!-- hidden -->\n" + "x" * 40_000
    stand.forge.edit(stand.open(), "chat: rest", text)
    (found,) = stand.forge.requests("canaryfleet/")
    assert (found.title, found.body) == ("chat: rest", text)


# Reviews


def test_of_each_person_the_newest_opinion_counts_with_its_head(stand: Stand) -> None:
    number, old = stand.open(), stand.ground.tip(BRANCH)
    new = stand.ground.push(BRANCH, {"pointer": "newer\n"})
    local = stand.ground.local
    local.review(number, "alice", "changesRequested", old)
    local.review(number, "bob", "approved", old)
    local.review(number, "alice", "approved", new)
    local.review(number, "bob", "other", new)
    local.review(number, "carol", "other", new)
    local.review(number, "canaryfleet", "approved", new)
    (found,) = stand.forge.requests("canaryfleet/")
    assert found.reviews == (
        Review(by="alice", state="approved", head=new),
        Review(by="bob", state="approved", head=old),
        Review(by="carol", state="other", head=new),
    )
    assert all(each.reviews == () for each in stand.forge.everybody())


def test_a_remark_takes_no_objection_back() -> None:
    reviews = [
        Review(by="alice", state=state, head="h") for state in ("approved", "changesRequested", "other")
    ]
    assert [review.state for review in opinions(reviews, "canaryfleet")] == ["changesRequested"]


@over_http
def test_what_was_dismissed_counts_no_more_nor_what_was_before_it(stand: Stand) -> None:
    number, head = stand.open(), stand.ground.tip(BRANCH)
    assert stand.server
    for state in ("approved", "changesRequested"):
        stand.ground.local.review(number, "alice", state, head)  # type: ignore[arg-type]
    stand.server.dismissed.add((number, 1))
    assert stand.forge.requests("")[0].reviews == ()
    stand.ground.local.review(number, "alice", "approved", head)
    assert [review.state for review in stand.forge.requests("")[0].reviews] == ["approved"]


@over_http
def test_who_may_not_write_neither_approves_nor_objects(stand: Stand) -> None:
    """Anybody may review in a public repository."""
    number, head = stand.open(), stand.ground.tip(BRANCH)
    for name in ("stranger", "nobody"):
        stand.ground.local.review(number, name, "approved", head)
    stand.ground.local.review(number, "troll", "changesRequested", head)
    assert {review.state for review in stand.forge.requests("")[0].reviews} == {"other"}


# Closing


def test_it_says_why_once_and_closes(stand: Stand) -> None:
    number = stand.open()
    stand.forge.close(number, "2.5.0 has replaced it.")
    stand.forge.close(number, "2.5.0 has replaced it.")
    (found,) = stand.forge.requests("canaryfleet/")
    assert (found.state, found.closedBy, found.landed) == ("closed", stand.forge.me, None)
    (said,) = stand.ground.comments(number)
    assert said.startswith("2.5.0 has replaced it.")


def test_who_closed_is_told(stand: Stand) -> None:
    stand.ground.local.shut(stand.open(), "alice")
    (found,) = stand.forge.requests("canaryfleet/")
    assert (found.state, found.closedBy, found.reviews) == ("closed", "alice", ())
    stand.ground.local.reopen(found.number)
    (found,) = stand.forge.requests("canaryfleet/")
    assert (found.state, found.closedBy) == ("open", None)


def test_a_closed_one_is_not_opened_again_but_anew(stand: Stand) -> None:
    first = stand.open()
    stand.forge.close(first, "obsolete")
    assert stand.open() != first


def test_after_a_month_with_no_change_it_may_be_forgotten_but_not_while_it_is_open(stand: Stand) -> None:
    number = stand.open()
    stand.ground.local.shut(number, "alice")
    stand.ground.push("canaryfleet/chat/k2", {"x": "1"}, onto="main")
    stand.forge.open("canaryfleet/chat/k2", "main", "t", "b")
    stand.ground.clock.pass_(days=30)
    assert [found.number for found in stand.forge.requests("canaryfleet/")] == [2, 1]
    stand.ground.clock.pass_(days=30)
    assert next(found.number for found in stand.forge.requests("canaryfleet/")) == 2


# Merging


def test_it_merges_exactly_the_head_with_exactly_the_message(stand: Stand) -> None:
    number, head, before = stand.open(), stand.ground.tip(BRANCH), stand.ground.tip()
    landed = stand.forge.merge(number, head, "chat: europe", "Why.\n\nCanaryfleet-Decision: {}")
    assert landed == stand.ground.tip()
    shown = sh(stand.ground.bare, "log", "-1", "--format=%P|%B", landed)
    assert shown == f"{before}|chat: europe\n\nWhy.\n\nCanaryfleet-Decision: {{}}"
    (found,) = stand.forge.requests("canaryfleet/")
    assert (found.state, found.landed, found.closedBy, found.branch) == ("merged", landed, None, BRANCH)
    assert stand.forge.merge(number, head, "chat: europe", "Why.") == landed
    assert stand.ground.log() == ["change README", "chat: europe"]


def test_a_head_that_has_moved_is_not_merged(stand: Stand) -> None:
    number, head = stand.open(), stand.ground.tip(BRANCH)
    stand.ground.push(BRANCH, {"pointer": "evil\n"})
    with pytest.raises(NotMerged, match="head"):
        stand.forge.merge(number, head, "t", "m")
    assert stand.ground.log() == ["change README"]


def test_conflicts_are_not_merged(stand: Stand) -> None:
    number, head = stand.open(), stand.ground.tip(BRANCH)
    stand.ground.push("main", {"pointer": "another\n"})
    with pytest.raises(NotMerged):
        stand.forge.merge(number, head, "t", "m")


def test_what_is_closed_is_not_merged(stand: Stand) -> None:
    number, head = stand.open(), stand.ground.tip(BRANCH)
    stand.ground.local.shut(number, "alice")
    with pytest.raises(NotMerged, match="closed"):
        stand.forge.merge(number, head, "t", "m")
    assert stand.ground.log() == ["change README"]


def test_what_a_person_has_merged_is_merged(stand: Stand) -> None:
    number, head = stand.open(), stand.ground.tip(BRANCH)
    landed = stand.ground.local.land(number, "alice")
    assert stand.forge.merge(number, head, "t", "m") == landed
    stand.forge.close(number, "obsolete")
    (found,) = stand.forge.requests("canaryfleet/")
    assert (found.state, found.landed) == ("merged", landed)
    assert stand.ground.comments(number) == []


def test_a_number_that_is_none_is_a_problem(stand: Stand) -> None:
    for call in (
        lambda: stand.forge.merge(99, "0" * 40, "t", "m"),
        lambda: stand.forge.close(99, "x"),
        lambda: stand.forge.edit(99, "t", "b"),
    ):
        with pytest.raises(Problems, match="CF180"):
            call()


# Statuses


def test_a_status_is_set_once(stand: Stand) -> None:
    commit = stand.ground.tip(BRANCH)
    status = CommitStatus(
        context="canaryfleet/gate", state="success", description="holds", url="https://x.example/1"
    )
    stand.forge.status(commit, status)
    before = stand.writes()
    stand.forge.status(commit, status)
    assert stand.writes() == before
    assert stand.ground.local.statuses(commit) == {"canaryfleet/gate": status}
    worse = CommitStatus(context="canaryfleet/gate", state="failure", description="breaks a limit")
    stand.forge.status(commit, worse)
    stand.forge.status(commit, CommitStatus(context="other", state="pending"))
    assert stand.ground.local.statuses(commit)["canaryfleet/gate"] == worse


def test_a_status_of_no_commit_is_refused(stand: Stand) -> None:
    with pytest.raises(Problems, match="CF180"):
        stand.forge.status("0" * 40, CommitStatus(context="c", state="success"))
    for name in ("../../user", ".."):
        with pytest.raises(Problems, match="CF180"):
            stand.forge.status(name, CommitStatus(context="c", state="success"))


# Answers that are lost: it was done, and nobody said so


@over_http
@pytest.mark.parametrize("fault", [lost, gateway])
@pytest.mark.parametrize(
    ("method", "where"),
    [
        ("POST", "/pulls$"),
        ("POST", "/comments$"),
        ("PATCH", "/pulls/1$"),
        ("POST", "/statuses/"),
        ("P", "/merge$"),
    ],
)
def test_a_lost_answer_does_nothing_twice(stand: Stand, fault: object, method: str, where: str) -> None:
    server, ground = stand.server, stand.ground
    assert server
    method = {"github": "PUT", "gitea": "POST"}[server.dialect] if method == "P" else method
    server.fail(method, where, fault)  # type: ignore[arg-type]
    ground.push("canaryfleet/chat/k2", {"x": "1"}, onto="main")
    number, head = stand.open(), ground.tip(BRANCH)
    other = stand.forge.open("canaryfleet/chat/k2", "main", "t", "b").number
    stand.forge.edit(number, "new", "text")
    stand.forge.status(head, CommitStatus(context="c", state="success"))
    stand.forge.close(other, "obsolete")
    assert stand.forge.merge(number, head, "t", "m") == ground.tip()
    assert ground.log() == ["change README", "t"]
    assert len(ground.comments(other)) == 1
    assert [(found.number, found.state) for found in stand.forge.requests("")] == [
        (2, "closed"),
        (1, "merged"),
    ]
    assert any(asked.status in {0, 502} for asked in server.asked)


# Lists


@over_http
def test_a_list_of_many_pages_is_read_whole_and_no_address_of_the_server_is_followed(stand: Stand) -> None:
    assert stand.server
    stand.server.most = 2
    for name in "abcdefg":
        stand.ground.push(f"canaryfleet/chat/{name}", {name: "1"}, onto="main")
        number = stand.forge.open(f"canaryfleet/chat/{name}", "main", name, "b").number
        stand.ground.clock.pass_(hours=1)
        if name in "aceg":
            stand.ground.local.shut(number, "alice")
    for number, by in ((2, "alice"), (2, "bob"), (2, "carol")):
        stand.ground.local.review(number, by)
    found = stand.forge.requests("canaryfleet/")
    assert [request.number for request in found] == [7, 6, 5, 4, 3, 2, 1]
    assert [request.closedBy for request in found] == ["alice", None, "alice", None, "alice", None, "alice"]
    assert [review.by for review in found[5].reviews] == ["alice", "bob", "carol"]
    assert len(stand.forge.everybody()) == 3


@over_http
def test_a_second_look_costs_nothing(stand: Stand) -> None:
    assert stand.server
    number = stand.open()
    stand.ground.local.review(number, "alice")
    first = stand.forge.requests("canaryfleet/")
    begin = len(stand.server.asked)
    assert stand.forge.requests("canaryfleet/") == first
    again = stand.server.asked[begin:]
    assert again
    assert {asked.status for asked in again} == {304}
    stand.ground.local.review(number, "bob")
    assert len(stand.forge.requests("canaryfleet/")[0].reviews) == 2


@over_http
def test_a_request_of_a_fork_has_no_branch_of_ours(stand: Stand) -> None:
    assert stand.server
    stand.server.forks.append(stand.open())
    assert stand.forge.requests("canaryfleet/") == []
    assert [found.branch for found in stand.forge.everybody()] == [f"mallory:{BRANCH}"]
    with pytest.raises(Problems):
        stand.forge.open(BRANCH, "main", "t", "b")  # the fork's is not taken for it


def test_the_table_names_the_local_forge(template: Ground, tmp_path: Path) -> None:
    ground = template.copy(tmp_path)
    assert connect(Settings(), str(ground.clone), {}).remote.address == str(ground.bare)

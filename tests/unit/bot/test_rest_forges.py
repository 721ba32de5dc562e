"""Forges over HTTP that answer badly, late or not at all, and credentials, which are in no text."""

import base64
import socket
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from canaryfleet import git
from canaryfleet.errors import Problems
from canaryfleet.forges import Forge, NotMerged, gitea, github, rest
from canaryfleet.forges.rest import World, base, repository, token
from canaryfleet.models.fleet import Forge as Settings
from canaryfleet.models.forge import CommitStatus
from fake_forge import HOME, REPOSITORY, TOKEN, Act, FakeForge, Reply, instead, lost
from forges import Clock, Ground
from support import PROPERTY

BRANCH = "canaryfleet/chat/k1"


class Slept(list[float]):
    """A world in which time goes by only while somebody sleeps; the seconds of each sleep."""

    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self.clock = clock
        self.world = World(self._now, self._sleep, lambda: 0.5)

    def _now(self) -> float:
        return self.clock.now.timestamp()

    def _sleep(self, seconds: float) -> None:
        self.append(seconds)
        self.clock.pass_(seconds=seconds)


@pytest.fixture(scope="module")
def ground(tmp_path_factory: pytest.TempPathFactory) -> Ground:
    ground = Ground(tmp_path_factory.mktemp("ground"))
    ground.push(BRANCH, {"pointer": "new\n"}, onto="main")
    ground.local.open(BRANCH, "main", "t", "b")
    return ground


@pytest.fixture(params=["github", "gitea"])
def server(request: pytest.FixtureRequest, ground: Ground) -> Iterator[FakeForge]:
    with FakeForge(ground, request.param) as server:
        yield server


@pytest.fixture
def slept(ground: Ground) -> Slept:
    return Slept(ground.clock)


@pytest.fixture
def forge(server: FakeForge, slept: Slept) -> Forge:
    return made(server, slept.world)


def made(server: FakeForge, world: World) -> Forge:
    settings = Settings(type=server.dialect, repository=REPOSITORY, url=server.url)
    environment = {"CANARYFLEET_GITHUB_TOKEN": TOKEN, "CANARYFLEET_GITEA_TOKEN": f" {TOKEN}\n"}
    module: Any = github if server.dialect == "github" else gitea
    return module.connect(settings, "", environment, world)  # type: ignore[no-any-return]


def fails(code: str, call: Callable[[], Any]) -> str:
    with pytest.raises(Problems) as caught:
        call()
    assert [finding.code for finding in caught.value.findings] == [code]
    return str(caught.value)


# Too many requests


@pytest.mark.parametrize("status", [403, 429])
def test_it_waits_as_long_as_it_is_told_and_goes_on(
    server: FakeForge, forge: Forge, slept: Slept, status: int
) -> None:
    server.fail("GET", "/pulls$", instead(status, {"message": "slow down"}, retry_after="7"))
    assert len(forge.everybody()) == 1
    assert slept == [7.0]


def test_a_write_that_was_one_too_many_was_not_done_and_is_done_later(
    server: FakeForge, forge: Forge, slept: Slept
) -> None:
    server.fail("POST", "/statuses/", instead(429, {"message": "slow down"}, retry_after="30"))
    head = forge.everybody()[0].head
    forge.status(head, CommitStatus(context=f"late-{server.dialect}", state="success"))
    assert f"late-{server.dialect}" in server.ground.local.statuses(head)
    assert slept == [30.0]


def test_at_the_end_of_the_hours_requests_it_waits_for_the_next_hour(
    server: FakeForge, forge: Forge, slept: Slept
) -> None:
    reset = str(int(slept.world.now()) + 50)
    server.fail("GET", "/pulls$", instead(403, {}, x_ratelimit_remaining="0", x_ratelimit_reset=reset))
    assert len(forge.everybody()) == 1
    assert slept == [51.0]


def test_a_limit_without_a_time_is_a_minute(server: FakeForge, forge: Forge, slept: Slept) -> None:
    words = {"message": "You have exceeded a secondary rate limit."}
    server.fail("GET", "/pulls$", instead(403, words))
    assert len(forge.everybody()) == 1
    assert slept == [60.0]


@pytest.mark.parametrize(
    ("name", "value"), [("retry_after", "3600"), ("retry_after", "9" * 30), ("x_ratelimit_reset", None)]
)
def test_it_does_not_wait_for_ever_but_says_when_to_come_again(
    server: FakeForge, forge: Forge, slept: Slept, name: str, value: str | None
) -> None:
    value = value or str(int(slept.world.now()) + 3600)
    server.fail("GET", "/pulls$", instead(403, {}, **{"x_ratelimit_remaining": "0", name: value}))
    assert "come again at 20" in fails("CF180", forge.everybody) or value.startswith("99")
    assert slept == []


def test_several_waits_are_bounded_together(server: FakeForge, forge: Forge, slept: Slept) -> None:
    server.fail("GET", "/pulls$", instead(429, {}, retry_after="40"), times=5)
    assert "come again at" in fails("CF180", forge.everybody)
    assert slept == [40.0, 40.0]


def test_a_date_says_when_too(server: FakeForge, forge: Forge, slept: Slept) -> None:
    slept.clock.now = slept.clock.now.replace(microsecond=0)
    later = slept.clock.now.timestamp() + 20
    from email.utils import formatdate

    server.fail("GET", "/pulls$", instead(429, {}, retry_after=formatdate(later, usegmt=True)))
    server.fail("GET", "/pulls$", instead(429, {}, retry_after="soon"))
    assert len(forge.everybody()) == 1
    assert slept == [20.0, 60.0]


def test_what_may_not_be_done_is_no_limit(server: FakeForge, forge: Forge, slept: Slept) -> None:
    server.fail(
        "GET", "/pulls$", instead(403, {"message": "Resource not accessible"}, x_ratelimit_remaining="4000")
    )
    said = fails("CF180", forge.everybody)
    assert "403: Resource not accessible" in said
    assert "may the bot" in said
    assert slept == []


def test_writes_are_a_second_apart_and_reads_are_not(server: FakeForge, forge: Forge, slept: Slept) -> None:
    for title in ("a", "b", "c"):
        forge.edit(1, title, "b")
        forge.everybody()
    assert slept == [1.0, 1.0]
    slept.clock.pass_(seconds=-3600)  # a clock that is set back keeps nobody waiting for an hour
    forge.edit(1, "d", "b")
    assert slept == [1.0, 1.0]


# No answer


def test_a_read_is_tried_again_with_longer_pauses(server: FakeForge, forge: Forge, slept: Slept) -> None:
    for fault in (instead(502), lost, instead(504, b"<html>")):
        server.fail("GET", "/pulls$", fault)
    assert len(forge.everybody()) == 1
    assert slept == [1.0, 2.0, 4.0]


def test_after_four_tries_it_is_a_problem(server: FakeForge, forge: Forge, slept: Slept) -> None:
    server.fail("GET", "/pulls$", instead(503, {"message": "down for maintenance"}), times=9)
    assert "no answer after 4 tries: down for maintenance" in fails("CF180", forge.everybody)
    assert len(server.asked) == 4


def test_chance_spreads_those_who_try_again(server: FakeForge, ground: Ground) -> None:
    pauses = []
    for chance in (0.0, 0.9):
        slept = Slept(ground.clock)
        server.fail("GET", "/pulls$", instead(502))
        made(server, slept.world._replace(chance=lambda chance=chance: chance)).everybody()  # type: ignore[misc]
        pauses += slept
    assert pauses == [0.5, 1.4]


def test_a_post_that_may_have_been_done_is_not_sent_again(server: FakeForge, forge: Forge) -> None:
    """Neither done nor answered: it is looked for, not found, and left to the next run."""
    server.fail("POST", "/comments$", instead(502))
    said = fails("CF180", lambda: forge.close(1, "obsolete"))
    assert "nobody knows" in said
    assert [asked.method for asked in server.asked].count("POST") == 1
    assert forge.everybody()[0].state == "open"


def test_where_nobody_listens_is_a_problem(slept: Slept) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}/api/v1"
    settings = Settings(type="gitea", repository=REPOSITORY, url=url)
    forge = gitea.connect(settings, "", {"CANARYFLEET_GITEA_TOKEN": TOKEN}, slept.world)
    assert "no answer after 4 tries" in fails("CF180", forge.everybody)
    commit = "0" * 40
    forge._has_status = lambda *_: False  # type: ignore[method-assign]
    said = fails("CF180", lambda: forge.status(commit, CommitStatus(context="c", state="success")))
    assert "no answer after 4 tries" in said  # nothing was sent, so nothing can have been done


# Answers that are none


def test_it_follows_nothing(server: FakeForge, forge: Forge, ground: Ground) -> None:
    with FakeForge(ground, server.dialect) as elsewhere:
        for status in (301, 302, 307, 308):
            server.fail(
                "GET", "/pulls$", instead(status, {}, location=f"{elsewhere.url}{HOME}/pulls?state=open")
            )
            assert "renamed or moved" in fails("CF180", forge.everybody)
        server.fail("PATCH", "/pulls/1$", instead(307, {}, location=f"{elsewhere.url}{HOME}/pulls/1"))
        assert "renamed or moved" in fails("CF180", lambda: forge.edit(1, "t", "b"))
        assert elsewhere.asked == []


@pytest.mark.parametrize(
    "body", [b"", b"<html>", b"[", b"null", b"{}", b"[1]", b'[{"number": "1"}]', b"[" * 100_000, b"\xff"]
)
def test_what_is_not_of_the_form_is_a_problem(server: FakeForge, forge: Forge, body: bytes) -> None:
    server.fail("GET", "/pulls$", instead(200, body))
    assert "not of the form" in fails("CF180", forge.everybody)


def test_a_commit_that_is_none_is_not_taken(server: FakeForge, forge: Forge) -> None:
    def other(act: Act) -> Reply:
        reply = act()
        reply.body[0]["head"]["sha"] = "--upload-pack=x"
        return reply

    server.fail("GET", "/pulls$", other)
    assert "not of the form" in fails("CF180", forge.everybody)


def test_an_answer_has_a_largest_size(
    server: FakeForge, forge: Forge, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert len(forge.everybody()) == 1
    monkeypatch.setattr(rest, "LARGEST", 1 << 20)
    server.fail("GET", "/pulls$", instead(200, b" " * ((1 << 20) + 1)))
    assert "more than 1 MiB" in fails("CF180", forge.everybody)


def test_half_an_answer_is_none(server: FakeForge, forge: Forge, slept: Slept) -> None:
    server.fail("GET", "/pulls$", instead(200, b"[]", content_length="1000"))
    assert len(forge.everybody()) == 1
    assert slept == [1.0]


def test_a_list_without_end_is_a_problem(
    server: FakeForge, forge: Forge, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rest, "PAGES", 3)
    server.fail("GET", "/pulls$", instead(200, [], link='<x>; rel="next"'), times=4)
    assert "more than 3 pages" in fails("CF180", forge.everybody)


def test_a_page_that_has_not_changed_may_have_another_after_it(
    server: FakeForge, forge: Forge, ground: Ground
) -> None:
    server.most = 2
    for by in ("alice", "bob"):
        ground.local.review(1, by)
    before = len(forge.requests("")[0].reviews)
    ground.local.review(1, "carol")
    assert (before, len(forge.requests("")[0].reviews)) == (2, 3)
    clear(ground)


def clear(ground: Ground) -> None:
    """No reviews any more: the ground is that of all tests here."""
    with ground.local._locked():
        ground.local._write(replace(ground.local._one(1), reviews=()))


def test_what_is_kept_has_a_largest_size(
    server: FakeForge, forge: Forge, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rest, "_KEPT", 10)
    forge.everybody()
    forge.everybody()
    assert [asked.status for asked in server.asked] == [200, 200]


def test_a_stale_answer_of_another_question_is_not_taken(server: FakeForge, forge: Forge) -> None:
    """304 without our having asked for a change is no answer."""
    server.fail("GET", "/pulls$", instead(304))
    fails("CF180", forge.everybody)


def test_the_base_that_was_modified_is_not_merged(server: FakeForge, forge: Forge) -> None:
    words = {"message": "Base branch was modified.\n\x1b[31mReview and try the merge again."}
    server.fail("PUT" if server.dialect == "github" else "POST", "/merge$", instead(405, words))
    with pytest.raises(NotMerged, match="Base branch was modified") as caught:
        forge.merge(1, forge.everybody()[0].head, "t", "m")
    assert str(caught.value).isprintable()  # no lines and colours of others in our logs
    server.fail("PUT" if server.dialect == "github" else "POST", "/merge$", instead(403, words))
    fails("CF180", lambda: forge.merge(1, forge.everybody()[0].head, "t", "m"))


def test_what_changes_while_pages_are_read_is_read_again(tmp_path: Path) -> None:
    """A closed one that somebody comments on goes from the second page to the first: a no that would be missed."""
    ground = Ground(tmp_path)
    for name in "abc":
        ground.push(f"canaryfleet/chat/{name}", {name: "1"}, onto="main")
        ground.local.open(f"canaryfleet/chat/{name}", "main", "t", "b")
        ground.clock.pass_(hours=1)
        ground.local.shut(ord(name) - ord("a") + 1, "alice")
    with FakeForge(ground, "github") as server:
        server.most = 2

        def and_then(act: Act) -> Reply:
            reply = act()
            ground.clock.pass_(hours=1)
            ground.local.reopen(1)
            ground.local.shut(1, "alice")
            return reply

        server.fail("GET", "/pulls$", lambda act: act())
        server.fail("GET", "/pulls$", and_then)
        found = made(server, Slept(ground.clock).world).requests("canaryfleet/")
    assert [request.number for request in found] == [3, 2, 1]


# Where it is, and with what


@pytest.mark.parametrize(
    "address",
    [
        "http://git.acme.example/api/v1", "https://user:pw@git.acme.example", "https://h/x?y=1", "https://h/#x",
        "ftp://h/", "https://", "", "git.acme.example", "https://h /x", "https://h:x/", "https://h\n/", "http://127.0.0.1.evil.example",
        "http://[::1", "https://ü.example",
    ],
)  # fmt: skip
def test_only_https_is_asked_and_loopback(address: str) -> None:
    said = fails("CF181", lambda: base(address))
    assert "pw" not in said


def test_addresses_that_are_fine() -> None:
    assert base("https://git.acme.example/api/v1/") == "https://git.acme.example/api/v1"
    for host in ("127.0.0.1:3000", "localhost:3000", "[::1]:3000"):
        assert base(f"http://{host}/api") == f"http://{host}/api"


@pytest.mark.parametrize(
    "name", [None, "", "fleet", "a/b/c", "../x", "a/..", "a/ b", "/b", "a/", "a/b?c", "a/%2e"]
)
def test_a_repository_is_owner_and_name(name: str | None) -> None:
    fails("CF181", lambda: repository(name))


def test_what_is_missing_is_said_with_what_to_do() -> None:
    for module, settings, environment in (
        (github, Settings(type="github", repository="a/b"), {}),
        (github, Settings(type="github"), {"GITHUB_TOKEN": TOKEN}),
        (gitea, Settings(type="gitea", repository="a/b"), {"CANARYFLEET_GITEA_TOKEN": TOKEN}),
        (gitea, Settings(type="gitea", repository="a/b", url="https://x.example/api/v1"), {}),
        (github, Settings(type="github", repository="a/b"), {"CANARYFLEET_GITHUB_APP_ID": "1"}),
        (github, Settings(type="github", repository="a/b"), {"CANARYFLEET_GITHUB_APP_KEY": "/x"}),
        (github, Settings(type="github", repository="a/b"), {"CANARYFLEET_GITHUB_APP_ID": "1", "CANARYFLEET_GITHUB_APP_KEY": "/none"}),
    ):  # fmt: skip
        assert TOKEN not in fails("CF181", lambda m=module, s=settings, e=environment: m.connect(s, "", e))  # type: ignore[misc]


@pytest.mark.parametrize("secret", ["a b", "a\r\nX-Evil: 1", "tökén", "a\x00"])
def test_a_token_that_no_header_can_have_is_refused_and_not_shown(secret: str) -> None:
    said = fails("CF181", lambda: token({"GITHUB_TOKEN": secret}, "GITHUB_TOKEN"))
    assert secret not in said


def test_a_proxy_of_the_environment_gets_nothing_that_is_not_encrypted(
    server: FakeForge, slept: Slept, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    assert len(made(server, slept.world).everybody()) == 1


def test_git_is_told_the_token_in_its_environment_alone(
    server: FakeForge, forge: Forge, tmp_path: Path
) -> None:
    remote = forge.remote
    git.run(tmp_path, ["init", "-q"])
    # As the checkout of GitHub's Actions leaves it: two of a kind would be refused.
    git.run(
        tmp_path,
        ["config", f"http.{remote.address.split('/acme')[0]}/.extraheader", "Authorization: Basic other"],
    )
    origin = server.url.removesuffix(server.prefix)
    assert remote.address == f"{origin}/{REPOSITORY}.git"
    server.fail("GET", r"info/refs", instead(401, {}), times=2)
    said = fails(
        "CF025",
        lambda: git.run(tmp_path, ["ls-remote", "--", remote.address], environment=remote.environment),
    )
    (scheme, word) = server.asked[-1].headers["authorization"].split(" ")
    assert (scheme, base64.b64decode(word).decode().partition(":")[2]) == ("Basic", TOKEN)
    assert word not in said
    assert TOKEN not in said
    assert TOKEN not in remote.address


def test_git_follows_nothing_with_the_token(
    server: FakeForge, forge: Forge, ground: Ground, tmp_path: Path
) -> None:
    with FakeForge(ground, server.dialect) as elsewhere:
        location = f"{elsewhere.url}/x.git/info/refs?service=git-upload-pack"
        server.fail("GET", r"info/refs", instead(302, {}, location=location))
        fails(
            "CF025",
            lambda: git.run(
                tmp_path, ["ls-remote", "--", forge.remote.address], environment=forge.remote.environment
            ),
        )
        assert elsewhere.asked == []


@pytest.mark.parametrize(
    ("url", "address"),
    [
        (None, "https://github.com/a/b.git"),
        ("https://github.acme.example/api/v3", "https://github.acme.example/a/b.git"),
        ("https://api.acme.ghe.com", "https://acme.ghe.com/a/b.git"),
    ],
)
def test_githubs_repository_is_beside_its_api(url: str | None, address: str) -> None:
    settings = Settings(type="github", repository="a/b", url=url)
    remote = github.connect(settings, "", {"GITHUB_TOKEN": TOKEN}).remote
    assert remote.address == address
    assert f"http.{address.removesuffix('a/b.git')}.extraHeader" in remote.environment.values()


# Who it is


def test_the_token_of_actions_is_the_apps(ground: Ground, slept: Slept) -> None:
    with FakeForge(ground, "github") as server:
        server.users_token = False
        assert made(server, slept.world).me == "github-actions[bot]"


class Signer:
    """In place of PyJWT: a signature that shows what was signed."""

    class PyJWTError(Exception):
        """Its own error."""

    def __init__(self) -> None:
        self.claims: list[dict[str, Any]] = []

    def encode(self, claims: dict[str, Any], key: str, algorithm: str) -> str:
        """Not a signature."""
        if "KEY" not in key:
            raise self.PyJWTError(key)
        assert algorithm == "RS256"
        self.claims.append(claims)
        return f"signed.{len(self.claims)}"


def test_an_app_renews_its_token_before_it_ends(
    ground: Ground, slept: Slept, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    signer = Signer()
    monkeypatch.setitem(sys.modules, "jwt", signer)  # type: ignore[arg-type]
    key = tmp_path / "key.pem"
    key.write_text("KEY")
    with FakeForge(ground, "github") as server:
        settings = Settings(type="github", repository=REPOSITORY, url=server.url)
        environment = {
            "CANARYFLEET_GITHUB_APP_ID": "7",
            "CANARYFLEET_GITHUB_APP_KEY": str(key),
            "GITHUB_TOKEN": "other",
        }
        forge = github.connect(settings, "", environment, slept.world)
        assert forge.me == "canaryfleet[bot]"
        forge.everybody()
        slept.clock.pass_(minutes=45)
        forge.everybody()
        assert server.tokens == 1
        slept.clock.pass_(minutes=6)
        forge.everybody()
        assert server.tokens == 2
        assert forge.remote.environment["GIT_CONFIG_VALUE_1"].endswith(
            base64.b64encode(f"x-access-token:ghs_2{TOKEN}".encode()).decode()
        )
        for claims in signer.claims:
            assert claims["iss"] == "7"
            assert 0 < claims["exp"] - claims["iat"] <= 600
        key.write_text("nothing that signs: hidden")
        other = github.connect(settings, "", environment, slept.world)
        assert "hidden" not in fails("CF181", other.everybody)


def test_an_app_signs_with_its_own_key(
    ground: Ground, slept: Slept, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    private = rsa.generate_private_key(65537, 2048)
    words = (serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL)
    key = tmp_path / "key.pem"
    key.write_bytes(private.private_bytes(*words, serialization.NoEncryption()))
    environment = {"CANARYFLEET_GITHUB_APP_ID": "7", "CANARYFLEET_GITHUB_APP_KEY": str(key)}
    with FakeForge(ground, "github") as server:
        settings = Settings(type="github", repository=REPOSITORY, url=server.url)
        with pytest.raises(Problems):  # this forge takes no real signature
            github.connect(settings, "", environment, slept.world).everybody()
        (signed, *_) = [asked.headers["authorization"] for asked in server.asked]
    scheme, _, token = signed.partition(" ")
    now = slept.world.now()
    claims = jwt.decode(
        token, private.public_key(), algorithms=["RS256"], options={"verify_exp": False, "verify_iat": False}
    )
    assert (scheme, claims["iss"]) == ("Bearer", "7")
    assert claims["iat"] <= now < claims["exp"] <= claims["iat"] + 600
    assert jwt.get_unverified_header(token)["alg"] == "RS256"


def test_an_app_without_pyjwt_is_told_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "jwt", None)
    (tmp_path / "key.pem").write_text("KEY")
    environment = {"CANARYFLEET_GITHUB_APP_ID": "7", "CANARYFLEET_GITHUB_APP_KEY": str(tmp_path / "key.pem")}
    settings = Settings(type="github", repository=REPOSITORY)
    assert "canaryfleet[github-app]" in fails("CF181", lambda: github.connect(settings, "", environment))


# Whatever it answers, no text has the credential


def test_a_token_at_the_end_of_what_is_shown_is_not_cut_in_half(server: FakeForge, forge: Forge) -> None:
    server.fail("GET", "/pulls$", instead(400, {"message": "x" * 280 + TOKEN}))
    assert TOKEN[:12] not in fails("CF180", forge.everybody)


@PROPERTY
@given(data=st.data())
@pytest.mark.parametrize("dialect", ["github", "gitea"])
def test_no_error_has_a_credential(ground: Ground, dialect: Any, data: st.DataObject) -> None:
    echo = st.sampled_from(
        [TOKEN, f"token {TOKEN}", f"Bearer {TOKEN}", "x" * 280 + TOKEN, "\x1b[31m", "plain"]
    )
    bodies = st.one_of(
        echo.map(lambda text: {"message": text}),
        echo.map(lambda text: {"message": "m", "errors": [{"message": text}, text]}),
        echo.map(str.encode),
        echo.map(lambda text: [{"number": text, text: text}]),
    )
    statuses = st.sampled_from([200, 302, 400, 401, 403, 404, 405, 409, 422, 429, 500, 502])
    headers = st.fixed_dictionaries(
        {}, optional={"retry_after": st.sampled_from(["5", "7200"]), "x": echo.filter(str.isprintable)}
    )
    calls: list[Callable[[Forge], Any]] = [
        lambda forge: forge.requests(""),
        lambda forge: forge.everybody(),
        lambda forge: forge.open("canaryfleet/none", "main", "t", "b"),
        lambda forge: forge.edit(1, "t", "b"),
        lambda forge: forge.close(2, "r"),
        lambda forge: forge.merge(2, "0" * 40, "t", "m"),
        lambda forge: forge.status("0" * 40, CommitStatus(context="c", state="success")),
    ]
    with FakeForge(ground, dialect) as server:
        faults = data.draw(st.lists(st.tuples(statuses, bodies, headers), min_size=4, max_size=4))
        for method in ("GET", "POST", "PUT", "PATCH"):
            for status, body, fields in faults:
                server.fail(method, "", instead(status, body, **fields))
        forge = made(server, Slept(Clock()).world)
        error = raised(data.draw(st.sampled_from(calls)), forge)
    shown = f"{error}{error!r}{error.__cause__}{error.args}"
    assert TOKEN[:12] not in shown
    assert "\x1b" not in str(error)


def raised(call: Callable[[Forge], Any], forge: Forge) -> Exception:
    """What a call raises; an empty error if it does not."""
    try:
        call(forge)
    except (Problems, NotMerged) as error:
        return error
    return Exception()

"""Telling people by webhooks on loopback that answer well, badly, slowly or not at all."""

import hashlib
import hmac
import json
import socket
import threading
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from webhooks import Receiver, took

from canaryfleet import notify
from canaryfleet.errors import WARNING
from canaryfleet.models.fleet import Notification
from canaryfleet.news import Event
from canaryfleet.notify import Target, send, signature, slack, targets
from world import fleet

SECRET = "s3cr3t-of-the-tests"


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notify, "_PAUSE", 0.0)
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.delenv(name, raising=False)


def event(**more: Any) -> Event:
    fields: dict[str, Any] = {
        "id": "e1", "kind": "hold", "app": "chat", "title": "chat: 2-y waits for a person", "release": "2-y",
        "reasons": ("nobody has approved it (approve it)",), "number": 7, "url": "https://forge.example/7",
    }  # fmt: skip
    return Event(**(fields | more))


def target(url: str, type: str = "slack", **more: Any) -> Target:
    fields: dict[str, Any] = {"name": "team", "on": ("start", "hold", "fail", "done"), "secret": SECRET}
    return Target(type=type, url=url, **(fields | more))


# whom


def settings(**more: Any) -> Notification:
    return Notification(**({"name": "team", "type": "slack", "urlFrom": "URL"} | more))


@pytest.mark.parametrize(
    "url",
    [
        "https://hooks.example/T0/B0/x",
        "https://10.0.0.7/x",
        "http://127.0.0.1:9/x",
        "http://localhost/",
        "http://[::1]/",
    ],
)
def test_https_and_this_machine_may_be_told(url: str) -> None:
    found, warnings = targets(fleet(notify=(settings(),)), {"URL": url + "\n"})
    assert [one.url for one in found] == [url]
    assert not warnings


@pytest.mark.parametrize(
    "url",
    [
        "", " ", "http://hooks.example/T0", "http://10.0.0.7/", "file:///etc/passwd", "ftp://127.0.0.1/", "https://",
        "https://user:secret-word@hooks.example/", "https://hooks.example/a b", "https://hooks.example/\r\nX: secret-word",
        "https://hooks.example:port/", "https://[::1", "https://hööks.example/", "http://localhost.example/",
        "http://127.0.0.1.example/",
    ],
)  # fmt: skip
def test_no_other_address_is_used_nor_shown(url: str) -> None:
    found, (warning,) = targets(fleet(notify=(settings(),)), {"URL": url})
    assert not found
    assert (warning.code, warning.severity) == ("CF186", WARNING)
    assert "URL" in warning.message
    assert "secret-word" not in str(warning)


def test_a_webhook_without_its_key_is_not_told() -> None:
    signed = settings(type="webhook", secretFrom="KEY")
    environment = {"URL": "https://hooks.example/"}
    found, (warning,) = targets(fleet(notify=(signed,)), environment)
    assert not found
    assert "KEY" in warning.message
    assert targets(fleet(notify=(signed,)), environment | {"KEY": SECRET})[0][0].secret == SECRET
    with pytest.raises(ValueError, match="signed"):
        settings(type="webhook")


def test_a_spec_may_name_only_whom_fleet_yaml_has() -> None:
    found, (warning,) = targets(
        fleet(notify=(settings(),)), {"URL": "https://hooks.example/"}, ["team", "nobody"]
    )
    assert len(found) == 1
    assert "nobody" in warning.message


def test_two_targets_of_one_name_are_refused() -> None:
    with pytest.raises(ValueError, match="same name"):
        fleet(notify=(settings(), settings(urlFrom="OTHER")))


def test_who_wants_what() -> None:
    only = target("https://x", on=("done",))
    assert only.wants(event(kind="done"))
    assert not only.wants(event(kind="fail"))
    assert only.wants(event(kind="fail"), ["team"])
    assert not only.wants(event(kind="start"), ["team"])


def test_a_target_is_never_shown() -> None:
    shown = f"{target('https://hooks.example/T0/secret-word')!r}"
    assert SECRET not in shown
    assert "secret-word" not in shown


# what


def test_a_webhook_gets_the_event_signed_with_the_time() -> None:
    with Receiver() as receiver:
        assert send(event(), [target(receiver.url + "/in", "webhook")]) == []
    (got,) = receiver.got
    sent = json.loads(got.body)
    assert (got.path, sent["id"], sent["kind"], sent["number"]) == ("/in", "e1", "hold", 7)
    parts = dict(part.split("=", 1) for part in got.headers["x-canaryfleet-signature"].split(","))
    assert abs(int(parts["t"]) - time.time()) < 60
    expected = hmac.new(SECRET.encode(), parts["t"].encode() + b"." + got.body, hashlib.sha256).hexdigest()
    assert parts["v1"] == expected
    assert SECRET not in str(got)


def test_a_signature_is_of_the_time_and_the_body() -> None:
    of = signature(b"{}", SECRET, 5)
    assert of.startswith("t=5,v1=")
    different = {signature(b"{}", SECRET, 6), signature(b"{ }", SECRET, 5), signature(b"{}", "other", 5)}
    assert not {one.partition("v1=")[2] for one in different} & {of.partition("v1=")[2]}


def test_slack_gets_text_and_blocks_with_a_link() -> None:
    with Receiver() as receiver:
        assert send(event(), [target(receiver.url)]) == []
    sent = json.loads(receiver.got[0].body)
    assert "2-y waits for a person" in sent["text"]
    assert "<https://forge.example/7|pull request 7>" in sent["text"]
    assert len(sent["blocks"]) == 3
    assert "x-canaryfleet-signature" not in receiver.got[0].headers


@pytest.mark.parametrize(
    "url", ["javascript:alert(1)", "https://x|y>", "https://x/\n", "https://x/`", "", "https://ü/"]
)
def test_an_odd_address_of_a_pull_request_becomes_no_link(url: str) -> None:
    assert "<" not in slack(event(url=url))["text"]


@given(st.text(), st.lists(st.text(), max_size=12), st.text())
def test_text_of_others_calls_nobody_and_links_nowhere(title: str, reasons: list[str], url: str) -> None:
    evil = "<!channel> <@U1> @here <https://evil|forge> [forge](https://evil)\n\x1b]8;;"
    sent = slack(event(title=title + evil, reasons=tuple(r + evil for r in reasons), url=url))
    for text in (sent["text"], *(block["text"]["text"] for block in sent["blocks"])):
        bare = text.replace(f"<{url}|pull request 7>", "") if url else text
        assert not {"<", ">"} & set(bare)
        assert "@here" not in bare
        assert "](" not in bare
        assert all(line.replace("\u200b", "").isprintable() for line in bare.split("\n"))
    assert all(len(block["text"]["text"]) <= 3000 for block in sent["blocks"])
    assert len(sent["blocks"]) <= 50
    json.dumps(sent).encode()


def test_the_longest_texts_still_fit() -> None:
    sent = slack(event(title="&" * 5000, reasons=("<" * 5000,) * 50))
    assert all(len(block["text"]["text"]) <= 3000 for block in sent["blocks"])
    assert len(sent["text"]) < 40_000
    assert "42 more" in sent["text"]


# how


def test_it_is_tried_again_where_that_may_help() -> None:
    with Receiver(lambda n: (503 if n < 3 else 200, {})) as receiver:
        assert send(event(), [target(receiver.url)]) == []
    assert len(receiver.got) == 3


@pytest.mark.parametrize(("status", "tries"), [(500, 3), (429, 3), (404, 1), (400, 1), (403, 1)])
def test_who_does_not_take_it_is_a_warning(status: int, tries: int) -> None:
    with Receiver(lambda _: (status, {})) as receiver:
        (warning,) = send(event(), [target(receiver.url + "/secret-word")])
    assert len(receiver.got) == tries
    assert (warning.code, warning.severity) == ("CF186", WARNING)
    assert f"it answers {status}" in warning.message
    assert "secret-word" not in str(warning)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_nobody_is_sent_elsewhere(status: int) -> None:
    with Receiver() as elsewhere, Receiver(lambda _: (status, {"Location": elsewhere.url})) as receiver:
        (warning,) = send(event(), [target(receiver.url, "webhook")])
    assert not elsewhere.got
    assert f"it answers {status}" in warning.message


def test_a_target_that_hangs_takes_no_more_than_the_limit_and_keeps_nobody_else() -> None:
    with Receiver(lambda _: 60.0) as hangs, Receiver() as fine:
        begin = time.monotonic()
        (warning,) = send(
            event(), [target(hangs.url, name="hangs"), target(fine.url, name="fine")], limit=0.5
        )
        assert took(begin) < 3
    assert len(fine.got) == 1
    assert "hangs" in warning.message


def test_not_even_what_drips_for_ever_takes_more_than_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    end = threading.Event()

    def drips(*_: object) -> tuple[str, bool]:
        end.wait(60)
        return "", False

    monkeypatch.setattr(notify, "_post", drips)
    begin = time.monotonic()
    (warning,) = send(event(), [target("https://hooks.example/")], limit=0.2)
    assert took(begin) < 3
    assert "no answer within 0.2 s" in warning.message
    end.set()


def test_nobody_there_is_a_warning() -> None:
    with Receiver() as gone:
        pass
    (warning,) = send(event(), [target(gone.url + "/secret-word")])
    assert "Connection refused" in warning.message
    assert "secret-word" not in str(warning)


def test_a_certificate_that_nobody_trusts_is_not_taken() -> None:
    from fake_api import FakeApi

    with FakeApi() as server:
        (warning,) = send(event(), [target(server.url)])
    assert "certificate" in warning.message
    assert not server.asked


def test_what_nobody_thought_of_is_a_warning_too(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("with secret-word")

    monkeypatch.setattr(notify, "_request", broken)
    (warning,) = send(event(), [target("https://hooks.example/")])
    assert "RuntimeError" in warning.message
    assert "secret-word" not in str(warning)


def test_a_name_that_nobody_knows_is_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_: object, **__: object) -> None:
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    (warning,) = send(event(), [target("https://hooks.example/")])
    assert "nothing is known of its name" in warning.message

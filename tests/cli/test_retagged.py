"""A tag that was raised while its digest stayed: what runs would go out again under a new name."""

import pytest
from driver import IMAGE, Repo

NAME, _, DIGEST = IMAGE.partition("@")
OTHER = f"sha256:{'5ca1ab1e' * 8}"
SPEC = "specs/chat/canary.yaml"


@pytest.fixture
def running(repo: Repo) -> Repo:
    """The tag 1.0.0 runs everywhere."""
    repo.replace(SPEC, IMAGE, f"{NAME}:1.0.0@{DIGEST}")
    return repo.rendered()


@pytest.mark.parametrize(
    ("image", "codes"),
    [
        (f"{NAME}:1.1.0@{DIGEST}", {"CF304"}),
        (f"{NAME}:1.1.0@{OTHER}", set()),
        (f"{NAME}:1.0.0@{DIGEST}", set()),
        (f"{NAME}@{DIGEST}", set()),
        (f"ghcr.io/acme/mirror:1.1.0@{DIGEST}", set()),
    ],
)
def test_another_tag_of_the_same_content_is_warned_of(running: Repo, image: str, codes: set[str]) -> None:
    running.replace(SPEC, f"{NAME}:1.0.0@{DIGEST}", image)
    running.replace(SPEC, "version: 1.0.0", "version: 1.1.0")
    result = running.run("lint")
    assert (result.code, result.codes) == (0, codes), result.err
    if codes:
        assert "has the digest of 1.0.0, which runs" in result.err
        assert "`canaryfleet pin --update chat`" in result.err


def test_it_may_be_meant(running: Repo) -> None:
    ignored = "{code: CF304, reason: the candidate became the release}"
    running.replace(SPEC, "lint: {ignore: [", f"lint: {{ignore: [{ignored}, ")
    assert running.run("lint").codes == set(), "it comes and goes, so it is not useless"
    running.replace(SPEC, ":1.0.0@", ":1.1.0@")
    result = running.run("lint")
    assert (result.code, result.codes) == (0, set())
    assert "silence" in result.out

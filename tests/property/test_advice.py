"""Whatever is valid can be advised on: no exception, and nothing but documented warnings that can be silenced."""

from datetime import timedelta

import msgspec
from generated import Generated
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import projects

from canaryfleet import codes, lint
from canaryfleet.errors import WARNING, Finding
from canaryfleet.models.canary import Canary, Ignore, Lint
from canaryfleet.repo import Repository
from support import NOW, PROPERTY


def advised(repository: Repository, days: int) -> list[Finding]:
    checked = lint.check(repository, {})
    at = NOW + timedelta(days=days)
    return lint.advise(repository, checked, (), at, all_apps=True).findings


@settings(PROPERTY, max_examples=30)
@given(projects(), st.integers(-400, 400))
def test_advice_is_documented_and_can_be_silenced(generated: Generated, days: int) -> None:
    repository = generated.repository()
    found = advised(repository, days)
    for item in found:
        known = codes.find(item.code)
        assert known is not None
        assert known.warns
        assert item.severity == WARNING
        assert item.place.line
        assert item.remedy
    spec = repository.specs[generated.app]
    ignore = tuple(Ignore(code=code, reason="x") for code in sorted({item.code for item in found}))
    silent = spec._replace(model=_with(spec.model, ignore))
    assert advised(repository._replace(specs={generated.app: silent}), days) == []


def _with(model: Canary, ignore: tuple[Ignore, ...]) -> Canary:
    return msgspec.structs.replace(model, lint=Lint(ignore=ignore))

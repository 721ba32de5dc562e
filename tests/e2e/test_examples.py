"""The example fleet as it is committed: accepted everywhere, and each app's canary goes its whole way."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from app import measurements
from replay import (
    EXAMPLES,
    PROJECT,
    Example,
    Server,
    follow,
    good,
    refusals,
    secret,
    took_every_step,
    unproven,
    was_switched,
)
from rig import Fleet, Member, kustomize, load

from conftest import VERSIONS

FIDDLER = "https://api.fiddler.acme.example"
RECORDS = "/v2/alert-configs/fraud/records?ordering=-created_at"
TOKEN = "a-token-of-fiddler"
IMAGE = "sha256:f165fae5f94e68bde96b3459e08017736763280508fba9052f2d81a272c277d2"


@dataclass(frozen=True)
class Way:
    """The clusters whose committed overlays are the first and the second release, or what makes a second.

    Of two apps one release is committed: there the second is made as a user makes it, in a copy of the fleet.
    """

    first: str
    second: str
    service: str
    edit: tuple[str, str, str] | None = None


WAYS = {
    "assistant": Way("us-east-1a", "eu-west-1a", "assistant"),
    "mcp-tools": Way("eu-west-1a", "ap-southeast-2a", "mcp-tools"),
    "embeddings": Way("eu-north-1a", "eu-north-1a", "embeddings", ("0.9.3", IMAGE, f"sha256:{'1' * 64}")),
    "fraud": Way("eu-west-1a", "eu-west-1a", "fraud-detector", ("1.9.0", "118", "119")),
}


@pytest.mark.parametrize("name", EXAMPLES)
def test_every_committed_overlay_is_accepted_by_the_api_server(fleet: Fleet, name: str) -> None:
    overlays = sorted((PROJECT / "overlays" / name / "clusters").iterdir())
    built = {overlay.name: load(kustomize(overlay)) for overlay in overlays}
    assert len(built) == 12
    objects = [one for overlay in built.values() for one in overlay]
    for version in VERSIONS:
        kube = fleet.on(version, name).kube
        for namespace in {one["metadata"]["namespace"] for one in objects}:
            kube.ensure_namespace(namespace)
        said = kube.apply(objects, "--dry-run=server", "--validate=strict").splitlines()
        assert len(said) == len(objects)
        assert all(line.endswith("serverside-applied (server dry run)") for line in said)


@pytest.mark.parametrize("name", EXAMPLES)
def test_every_example_goes_its_whole_way(
    fleet: Fleet,
    member: Member,
    name: str,
    tmp_path: Path,
    fiddler: Server,
    keep: Callable[[Example], Example],
) -> None:
    way = WAYS[name]
    app = keep(Example(fleet, member, tmp_path / "fleet", name, {FIDDLER: fiddler.address}))
    first = app.on(way.first)
    app.apply([secret(app.namespace, "fiddler-api", TOKEN), *app.built()])
    app.until_healthy(first)
    stable = app.stable
    good(app, stable, way.service)

    second = app.next_release(*way.edit) if way.edit else app.on(way.second)
    assert second.workload != first.workload
    app.apply()
    canary = app.until_new(second)
    good(app, canary, way.service)
    follow(app, second)

    assert refusals(app) == []
    assert app.stable == canary
    assert unproven(app, canary) == []
    if second.strategy == "canary":
        took_every_step(app, canary)
    else:
        was_switched(app, stable, canary)
    if name == "fraud":
        assert fiddler.asked == {(RECORDS, f"Bearer {TOKEN}")}
    if any(one["kind"] == "AnalysisRun" for one in app.built()):
        _bakes(app, stable, way.service)


def _bakes(app: Example, stable: str, service: str) -> None:
    """Once all requests go to the second release its bake counts."""
    good(app, stable, service, per_second=0)
    app.measured("bake", len(app.runs("bake")[-1]["spec"]["metrics"]), "Successful")
    assert not any(m["phase"] in {"Failed", "Error"} for m in measurements(app.runs("bake")[-1]))


@pytest.fixture
def fiddler() -> Iterator[Server]:
    """A server in place of Fiddler's."""
    server = Server({RECORDS: {"data": {"items": [{"alert_value": 0.95}]}}})
    yield server
    server.close()

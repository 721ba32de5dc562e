"""A generated app on a fleet: what people would have written, and what canaryfleet makes of it."""

from collections.abc import Iterator
from posixpath import join
from typing import Any, NamedTuple

from canaryfleet import lint, live, overlay
from canaryfleet.decode import decode
from canaryfleet.emit import emit
from canaryfleet.freeze import Frozen, freeze
from canaryfleet.inputs import Inputs
from canaryfleet.live import Live, Settings
from canaryfleet.manifests import Builder, Object
from canaryfleet.models.canary import Canary
from canaryfleet.models.cluster import Cluster
from canaryfleet.models.fleet import Fleet
from canaryfleet.repo import OVERLAYS, Repository, Spec, overlay_path
from canaryfleet.syntax import parse, parse_stream

Data = dict[str, Any]


class Generated(NamedTuple):
    """What people would have written; `base` is what kustomize made of theirs."""

    spec: Data
    base: list[Data] | None
    files: dict[str, bytes]
    fleet: Data
    clusters: dict[str, Data]

    @property
    def app(self) -> str:
        """The app's name."""
        return str(self.spec["metadata"]["name"])

    def repository(self) -> Repository:
        """The repository as it would have been read."""
        path = f"specs/{self.app}/canary.yaml"
        document = parse(emit(self.spec).encode(), path)
        spec = Spec(self.app, decode(document, Canary), document, self.base, self.files)
        clusters = {name: _model(data, Cluster) for name, data in self.clusters.items()}
        return Repository(_model(self.fleet, Fleet), clusters, {self.app: spec}, {"kustomize": "v0.0.0"})

    def inputs(self) -> Inputs:
        """What a release is made of."""
        repository = self.repository()
        return lint.inputs(repository, repository.specs[self.app])

    def frozen(self) -> Frozen:
        """The release; the spec must be valid."""
        outcome = freeze(self.inputs())
        assert outcome.frozen is not None, outcome.issues
        return outcome.frozen

    def live(self, made: Frozen) -> dict[str, Live]:
        """The live settings of each cluster of a release, as far as it has room for them."""
        repository = self.repository()
        settings = Settings(repository.specs[self.app].model, made.bounds, repository.fleet)
        return {
            name: live.fit(live.resolve(settings, repository.clusters[name]), made.release.live)
            for name in made.release.clusters
        }

    def overlays(self, made: Frozen, fallback: str | None = None) -> dict[str, str]:
        """The overlay of each cluster of a release."""
        bakes = overlay.bakes(made.release)
        config = ("old-settings-0123456789ab",) if fallback else ()
        written = {}
        for name, settings in self.live(made).items():
            at = overlay.target(made.release, name, bakes)
            assert at is not None
            written[name] = overlay.text(self.app, at, fallback, config, settings)
        return written

    def tree(self, made: Frozen) -> dict[str, bytes]:
        """Every generated file by its path in the repository."""
        files = {join(OVERLAYS, self.app, path): data for path, data in made.files.items()}
        texts = self.overlays(made)
        return files | {overlay_path(self.app, name): text.encode() for name, text in texts.items()}

    def built(self, made: Frozen) -> dict[str, list[Object]]:
        """The final objects of each cluster."""
        builder = Builder(self.tree(made).__getitem__, shared=lambda path: "/releases/" in path)
        home = join(OVERLAYS, self.app, "clusters")
        return {name: builder.build(join(home, name)) for name in made.release.clusters}


def objects(made: Frozen, *kinds: str) -> Iterator[Object]:
    """Objects of some kinds as they stand in the release's files."""
    for path, data in made.files.items():
        if not path.endswith(("kustomization.yaml", "release.yaml")):
            yield from (item for item in parse_stream(data, path) if item["kind"] in kinds)


def _model(data: Data, model: Any) -> Any:
    return decode(parse(emit(data).encode(), "data.yaml"), model)

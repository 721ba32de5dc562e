"""What a change of specs, inventory or pointers does: `canaryfleet diff --output json`."""

from typing import Annotated, Literal

from msgspec import Meta, field

from canaryfleet.models.base import ApiVersion, Model


class Change(Model, frozen=True, kw_only=True):
    """One thing that is another. Values that may be secret are hidden."""

    path: Annotated[
        str,
        Meta(
            description="Where; items of a list by their name.",
            examples=["spec.template.spec.containers[assistant].image"],
        ),
    ]
    old: Annotated[str | None, Meta(description="None: there was nothing.")] = None
    new: Annotated[str | None, Meta(description="None: there is nothing.")] = None
    text: Annotated[
        tuple[str, ...], Meta(description="Of a text with several lines, instead: those that differ.")
    ] = ()


class ObjectDiff(Model, frozen=True, kw_only=True):
    """One Kubernetes object that is another, new or gone. `…` in a name: a digest of content."""

    kind: str
    name: str
    namespace: str = ""
    what: Literal["added", "removed", "changed"]
    changes: tuple[Change, ...] = ()


class Group(Model, frozen=True, kw_only=True):
    """Clusters on which the same happens. One may be in several: in that of all, and in those of some."""

    clusters: tuple[str, ...]
    from_: Annotated[
        str | None,
        Meta(description="Release that they are pointed at; none: nothing yet, or the pointer stays."),
    ] = field(name="from", default=None)
    to: Annotated[
        str | None,
        Meta(description="Release that they would have; none: nothing any more, or the pointer stays."),
    ] = None
    waits: Annotated[
        bool, Meta(description="Not rendered yet: it waits where a Rollout may be in the middle of a canary.")
    ] = False
    objects: tuple[ObjectDiff, ...] = ()


class Members(Model, frozen=True, kw_only=True):
    """Clusters whose files say something else."""

    clusters: tuple[str, ...]
    what: Literal["added", "removed", "changed"]
    changes: tuple[Change, ...] = ()


class ReleaseDiff(Model, frozen=True, kw_only=True):
    """Another release that the spec resolves to."""

    from_: Annotated[str | None, Meta(description="None: the app is new.")] = field(name="from", default=None)
    to: Annotated[str | None, Meta(description="None: the spec is gone.")] = None
    effect: Annotated[
        Literal["workload", "policy", "first", "gone"],
        Meta(description="Other pods; the same pods by other rules; a new app; no app any more."),
    ]
    inputs: Annotated[
        tuple[Change, ...], Meta(description="What the release is made of, and is another.")
    ] = ()
    waves: Annotated[tuple[Change, ...], Meta(description="Waves as the release freezes them.")] = ()


class AppDiff(Model, frozen=True, kw_only=True):
    """One app: what takes effect when this is merged, and what goes from wave to wave."""

    app: str
    release: Annotated[ReleaseDiff | None, Meta(description="None: the spec resolves to the same.")] = None
    settings: Annotated[
        tuple[Change, ...], Meta(description="Of the spec, in force at once, and in no manifest.")
    ] = ()
    atOnce: Annotated[tuple[Group, ...], Meta(description="Live settings, and pointers that moved.")] = ()
    byWaves: Annotated[
        tuple[Group, ...],
        Meta(description="What each cluster gets with the release, against what it is pointed at."),
    ] = ()


class Diff(Model, frozen=True, kw_only=True):
    """What is another in the working tree than at a revision."""

    apiVersion: ApiVersion
    kind: Literal["Diff"]
    from_: Annotated[
        str, Meta(description="The commit that it is compared with; empty: nothing is committed yet.")
    ] = field(name="from")
    fleet: Annotated[tuple[Change, ...], Meta(description="Of fleet.yaml.")] = ()
    inventory: Annotated[tuple[Members, ...], Meta(description="Of clusters/.")] = ()
    apps: Annotated[tuple[AppDiff, ...], Meta(description="Those for which anything is another.")] = ()

"""What `pin` has found and changed, for `--output json`."""

from typing import Annotated

from msgspec import Meta

from canaryfleet.models.base import Model


class PinnedImage(Model, frozen=True, kw_only=True):
    """An image that is written otherwise now, or would be."""

    app: Annotated[str, Meta(description="Whose image it is.", examples=["search"])]
    file: Annotated[str, Meta(description="Where it stands.", examples=["specs/search/canary.yaml"])]
    line: Annotated[int, Meta(description="From 1.", examples=[7])]
    column: Annotated[int, Meta(description="From 1.", examples=[10])]
    old: Annotated[str, Meta(description="As it was.", examples=["ghcr.io/acme/search:1.4.0"])]
    new: Annotated[
        str, Meta(description="As its registry says it.", examples=["ghcr.io/acme/search:1.4.0@sha256:…"])
    ]


class Pinned(Model, frozen=True, kw_only=True):
    """What `canaryfleet pin` did."""

    images: Annotated[tuple[PinnedImage, ...], Meta(description="By file and line.", examples=[[]])]
    written: Annotated[bool, Meta(description="Whether files were changed; a dry run changes none.")]

"""What `init` has done, for `--output json`."""

from typing import Annotated, Literal

from msgspec import Meta

from canaryfleet.models.base import Model


class Left(Model, frozen=True, kw_only=True):
    """Something that was not taken over, or that lint says of what was written."""

    file: Annotated[str, Meta(description="Where; `-` is standard input.", examples=["app.yaml"])]
    line: Annotated[int, Meta(description="From 1; 0 is the file as a whole.", examples=[12])]
    column: Annotated[int, Meta(description="From 1.", examples=[3])]
    severity: Annotated[Literal["error", "warning"], Meta(description="An error stops `render`.")]
    code: Annotated[str, Meta(description="`canaryfleet explain CODE`.", examples=["CF042"])]
    message: Annotated[str, Meta(description="What it is.", examples=["Secret token is not taken over"])]
    remedy: Annotated[str, Meta(description="What to do.", examples=["keep it where it is"])] = ""


class Started(Model, frozen=True, kw_only=True):
    """What `canaryfleet init` wrote, and what is left to do."""

    app: Annotated[str | None, Meta(description="The new app, if there is one.", examples=["search"])] = None
    written: Annotated[
        tuple[str, ...], Meta(description="The new files, sorted.", examples=[["specs/search/canary.yaml"]])
    ]
    left: Annotated[tuple[Left, ...], Meta(description="What a person has to look at.", examples=[[]])]

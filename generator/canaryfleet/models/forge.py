"""What a forge says of its pull requests, whichever forge it is."""

from typing import Annotated, Literal

from msgspec import Meta

from canaryfleet.models.base import Model
from canaryfleet.models.decision import Review


class PullRequest(Model, frozen=True, kw_only=True):
    """One pull request as the forge has it. Its text is kept to be compared and shown, never to be obeyed."""

    number: int
    branch: Annotated[str, Meta(description="Name of its head branch; of a fork, `<owner>:<branch>`.")]
    base: str
    head: Annotated[str, Meta(description="Commit that it is of.")]
    state: Literal["open", "merged", "closed"]
    author: str
    title: str = ""
    body: str = ""
    url: Annotated[str, Meta(description="Where a person looks at it.")] = ""
    closedBy: Annotated[
        str | None, Meta(description="Who closed it without merging; none: nobody knows.")
    ] = None
    landed: Annotated[str | None, Meta(description="Commit of the base branch that merging it made.")] = None
    reviews: Annotated[tuple[Review, ...], Meta(description="Each person's newest, of an open one.")] = ()


class CommitStatus(Model, frozen=True, kw_only=True):
    """One required status of a commit."""

    context: str
    state: Literal["pending", "success", "failure", "error"]
    description: Annotated[str, Meta(description="One line; a forge shows 140 characters.")] = ""
    url: str = ""

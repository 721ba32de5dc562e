"""GitHub Actions around a command: which pull request it is about, and the files by which a step says something.

All that decides where a token goes comes from the runner's own variables, never from the tree that is looked at. A
runner takes lines of a log for commands; those in text of others are kept from it by `errors.one_line`.
"""

import os
from collections.abc import Mapping
from typing import NamedTuple

import msgspec
from msgspec import Struct

from canaryfleet.errors import UsageError

LARGEST = 16 << 20  # bytes of an event


class _Home(Struct):
    full_name: str


class _End(Struct):
    ref: str
    sha: str
    repo: _Home | None = None


class _Pull(Struct):
    number: int
    base: _End
    head: _End


class _Repository(Struct):
    default_branch: str | None = None


class _Event(Struct):
    pull_request: _Pull | None = None
    repository: _Repository | None = None


class Pull(NamedTuple):
    """The pull request that an event is about. `fork`: its branch is in another repository.

    `default`: its branch is the one that others are merged into, as of a pull request into a branch of a release.
    """

    number: int
    base: str
    head: str
    branch: str
    fork: bool
    default: bool


class Step(NamedTuple):
    """One step of a job. `page`: where people look at the run; `summary`, `outputs`: files to add to, if there are any.

    `branch`: the default one, as the event has it; the change's fleet.yaml could name its own.
    """

    event: str
    repository: str
    api: str
    page: str
    summary: str | None
    outputs: str | None
    branch: str | None
    pull: Pull | None


def step(environment: Mapping[str, str] = os.environ) -> Step:
    """The step that this process runs in. Raises `UsageError` outside of GitHub Actions."""
    if environment.get("GITHUB_ACTIONS") != "true":
        raise UsageError("--output github: this is no step of GitHub Actions; use text, markdown or json")
    repository, run = environment.get("GITHUB_REPOSITORY", ""), environment.get("GITHUB_RUN_ID", "")
    server = environment.get("GITHUB_SERVER_URL", "https://github.com")
    event = _event(environment.get("GITHUB_EVENT_PATH", ""))
    return Step(
        event=environment.get("GITHUB_EVENT_NAME", ""),
        repository=repository,
        api=environment.get("GITHUB_API_URL", "https://api.github.com"),
        page=f"{server}/{repository}/actions/runs/{run}",
        summary=environment.get("GITHUB_STEP_SUMMARY") or None,
        outputs=environment.get("GITHUB_OUTPUT") or None,
        branch=event.repository.default_branch if event.repository else None,
        pull=_pull(event, repository),
    )


def _event(path: str) -> _Event:
    """What a file says. Raises `UsageError` for one that is no event's."""
    if not path:
        return _Event()
    try:
        with open(path, "rb") as opened:
            return msgspec.json.decode(opened.read(LARGEST), type=_Event)
    except (OSError, msgspec.DecodeError, RecursionError) as error:
        raise UsageError(f"GITHUB_EVENT_PATH: {error}") from None


def _pull(event: _Event, repository: str) -> Pull | None:
    """The pull request of an event."""
    pull = event.pull_request
    if pull is None:
        return None
    home = pull.head.repo.full_name if pull.head.repo else ""
    fork = home.lower() != repository.lower()
    default = event.repository is not None and event.repository.default_branch == pull.head.ref
    return Pull(pull.number, pull.base.ref, pull.head.sha, pull.head.ref, fork, default and not fork)


def summarize(step: Step, text: str) -> None:
    """Add to the page of the run. Raises `UsageError`: its file can't be written."""
    _add(step.summary, text)


def output(step: Step, values: Mapping[str, str]) -> None:
    """Set outputs of the step, each of one line: longer text goes to a file, and its path is the output.

    Raises `UsageError`: their file can't be written.
    """
    _add(step.outputs, "".join(f"{name}={' '.join(value.split())}\n" for name, value in values.items()))


def _add(path: str | None, text: str) -> None:
    if path:
        try:
            with open(path, "a", encoding="utf-8") as opened:
                opened.write(text)
        except OSError as error:
            raise UsageError(f"{path}, a file of the runner: {error.strerror}") from None

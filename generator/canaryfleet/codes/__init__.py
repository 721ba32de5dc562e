"""Every finding's code: what it is about, why it matters, what to do. A code never changes its meaning.

The one source of them, as data beside this module: CF0xx reading, CF10x to CF14x the spec and the fleet, CF16x and
CF17x the generated tree, CF18x the bot, CF19x Argo CD, CF2xx what Argo Rollouts and Istio would refuse or misroute, CF3xx advice.
`canaryfleet explain CF123`, docs/codes.md, SARIF's rules and the tests of the warnings are made of it.
"""

import pkgutil
from collections.abc import Iterator
from functools import cache
from typing import NamedTuple

FILES = {
    "reading": "Reading files",
    "fleet": "The spec and the fleet",
    "tree": "The generated tree",
    "bot": "The bot and what people decide",
    "argocd": "What Argo CD asks for",
    "controllers": "What Argo Rollouts and Istio would refuse",
    "advice": "Legal, but dangerous for a canary",
}


class Code(NamedTuple):
    """One code. `bad` and `good`: files of which the first triggers the warning and the second does not."""

    code: str
    title: str
    why: str
    remedy: str
    bad: str = ""
    good: str = ""
    warns: bool = False
    """Whether it can be a warning about a spec, which the spec may silence."""
    dated: bool = False
    """Whether it comes and goes with time."""
    past: bool = False
    """Whether it compares with a release that runs, which no example of files has."""
    fleet: bool = False
    """Whether it needs the specs of all apps."""


@cache
def chapter(file: str) -> dict[str, Code]:
    """The codes of one of `FILES`, in order."""
    from canaryfleet.syntax import load

    data = pkgutil.get_data(__name__, f"{file}.yaml")
    if data is None:
        raise FileNotFoundError(f"codes/{file}.yaml")
    return {code: Code(code, **fields) for code, fields in load(data, f"codes/{file}.yaml").items()}


def every() -> dict[str, Code]:
    """All codes, by chapter and in order."""
    return {code: found for file in FILES for code, found in chapter(file).items()}


def find(code: str) -> Code | None:
    """What is known of a code, None if there is none of that name."""
    return every().get(code)


def text(found: Code) -> str:
    """One code for people who read it on a terminal."""
    head = f"{found.code}: {found.title}" + (
        " (a warning)" if found.code.startswith("CF3") and found.warns else ""
    )
    return "\n".join([head, "", *_paragraphs(found), *_silencing(found)])


def _paragraphs(found: Code) -> Iterator[str]:
    from textwrap import fill, indent

    yield fill(found.why, 100)
    yield ""
    yield fill(found.remedy, 100)
    for name, example in (("warned of", found.bad), ("not warned of", found.good)):
        if example:
            yield f"\n{name}:\n\n" + indent(example.rstrip(), "  ")


def _silencing(found: Code) -> Iterator[str]:
    if found.warns and found.code != "CF351":
        yield "\nIf it is meant, say so in the spec:\n"
        yield f"  lint: {{ignore: [{{code: {found.code}, reason: why that does no harm here}}]}}"


def page() -> str:
    """docs/codes.md: all codes as Markdown."""
    lines = [
        "<!-- Made by `make codes` from generator/canaryfleet/codes/*.yaml. -->",
        "# Codes",
        "",
        "Every finding has a code that never changes its meaning; `canaryfleet explain CF301` prints what stands here.",
        "Codes with an example can be warnings, and a spec may say that one is meant:",
        "`lint: {ignore: [{code: CF301, reason: …}]}`. Errors can't be silenced.",
    ]
    for file, title in FILES.items():
        lines += ["", f"## {title}"]
        for found in chapter(file).values():
            lines += ["", f"### {found.code}", "", markdown(found)]
    return "\n".join(lines) + "\n"


def markdown(found: Code) -> str:
    """What is known of one code, as Markdown."""
    lines = [
        f"**{found.title[0].upper()}{found.title[1:]}.** {found.why}",
        "",
        f"*What to do:* {found.remedy}",
    ]
    for name, example in (("Warned of", found.bad), ("Not warned of", found.good)):
        if example:
            lines += ["", f"{name}:", "", "```yaml", example.rstrip(), "```"]
    return "\n".join(lines)

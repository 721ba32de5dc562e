"""One page of a fleet, which needs nothing else: no network, no font, no library; readable without its script.

The page is a function of the report. All that others have written is escaped where it becomes markup (html.py), and
a Content-Security-Policy lets nothing run or be fetched but the style and the script whose hashes it names.
"""

import base64
import hashlib
import pkgutil
from collections import Counter
from functools import cache

from canaryfleet import __version__
from canaryfleet.models.release import version_of
from canaryfleet.models.report import AppReport, Report
from canaryfleet.page import board, story
from canaryfleet.page.charts import strip
from canaryfleet.page.html import Html, join, tag
from canaryfleet.page.words import NAMES, icon, symbols, time
from canaryfleet.phrases import count


def render(report: Report) -> str:
    """The page of a report, the same for the same report and version."""
    style, script = _file("style.css"), _file("script.js")
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=policy(style, script)),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("meta", name="referrer", content="no-referrer"),
        tag("meta", name="robots", content="noindex"),
        tag("title", f"{report.fleet}: what runs where"),
        Html(f"<style>{style}</style>"),
    )
    body = tag(
        "body", symbols(), _top(report), _apps(report), _foot(report), Html(f"<script>{script}</script>")
    )
    return f"<!doctype html>\n{tag('html', head, body, lang='en')}\n"


def policy(style: str, script: str) -> str:
    """The Content-Security-Policy: nothing but these two, and nothing from anywhere."""
    return (
        f"default-src 'none'; style-src 'sha256-{_hash(style)}'; script-src 'sha256-{_hash(script)}'; "
        "base-uri 'none'; form-action 'none'"
    )


def _hash(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


@cache
def _file(name: str) -> str:
    data = pkgutil.get_data(__name__, name)
    if data is None:
        raise FileNotFoundError(f"page/{name}")
    return data.decode()


def _top(report: Report) -> Html:
    clusters = {item.status.cluster for app in report.apps for wave in app.waves for item in wave.clusters}
    said = f"{count(len(report.apps), 'app')} on {count(len(clusters), 'cluster')}, as of "
    return join(
        (
            tag("a", "To the apps", href="#apps", class_="skip"),
            tag(
                "header",
                tag(
                    "div",
                    tag("h1", report.fleet),
                    tag("p", said, time(report.at), class_="muted"),
                    class_="title",
                ),
                _tools(report),
                class_="top",
            ),
        )
    )


def _tools(report: Report) -> Html:
    """Filters; the script shows them, since without it they do nothing."""
    found = board.counts([wave for app in report.apps for wave in app.waves])
    buttons = (
        tag(
            "button", icon(state), tag("span", NAMES[state]), tag("b", f"{number:,}"),
            type="button", class_=f"filter {state.lower()}", aria_pressed="false", data_state=state,
        )
        for state, number in found
        if number
    )  # fmt: skip
    return tag(
        "search",
        tag("div", buttons, class_="filters", role="group", aria_label="Show only clusters that are"),
        tag("label", tag("span", "Find a cluster"), tag("input", type="search", id="find", autocomplete="off", spellcheck="false")),
        tag("p", role="status", id="shown", class_="muted"),
        class_="tools",
        hidden=True,
    )  # fmt: skip


def _apps(report: Report) -> Html:
    apps = [_app(app, number, report) for number, app in enumerate(report.apps, 1)]
    several = len(apps) > 1
    return join(
        (
            tag("nav", tag("ul", (tag("li", _link(app, number)) for number, app in enumerate(report.apps, 1)), role="list"), aria_label="Apps") if several else None,
            tag("main", apps or tag("p", "No app is here."), id="apps", tabindex=-1),
        )
    )  # fmt: skip


def _link(app: AppReport, number: int) -> Html:
    worst = next((state for state, found in board.counts(app.waves) if found), "Waiting")
    return tag(
        "a", icon(worst), app.app, tag("span", f", {NAMES[worst]}", class_="unseen"), href=f"#app-{number}"
    )


def _app(app: AppReport, number: int, report: Report) -> Html:
    """An app is a landmark; what is inside has headings, or there would be more landmarks than a person can use."""
    asking = story.asking(app)
    return tag(
        "section",
        tag("div", tag("h2", app.app, id=f"app-{number}"), tag("p", _candidate(app), class_="muted"), class_="title"),
        _counts(app),
        tag("div", _card("What is next", story.next_(app)), _card("Needs a person", asking), class_="cards"),
        board.waves(app, report.at),
        _card("Decisions, from Git", story.history(app), " past"),
        class_="app",
        aria_labelledby=f"app-{number}",
    )  # fmt: skip


def _card(head: str, content: Html | None, more: str = "") -> Html | None:
    return tag("div", tag("h3", head), content, class_=f"card{more}") if content else None


def _candidate(app: AppReport) -> Html:
    if not app.candidate:
        return join((f"in {app.namespace or '?'}, no candidate yet",))
    return join(
        (f"in {app.namespace or '?'}, candidate ", tag("b", version_of(app.candidate)), f" ({app.candidate})")
    )


def _counts(app: AppReport) -> Html:
    """All clusters of the app by state, as a bar and in words."""
    found = board.counts(app.waves)
    words = (
        tag(
            "li",
            icon(state),
            tag("b", f"{number:,}"),
            f" {NAMES[state].lower()}",
            class_=f"state {state.lower()}",
        )
        for state, number in found
        if number
    )
    return tag(
        "div", strip(found), tag("ul", words, class_="counts", role="list"), tag("p", _running(app), class_="running"),
        class_="overall",
    )  # fmt: skip


def _running(app: AppReport) -> str:
    """Which release Git points at, on how many clusters; the candidate first, also where none has it."""
    found = Counter(
        item.status.release for wave in app.waves for item in wave.clusters if item.status.release
    )
    order = sorted(found, key=lambda name: (name != app.candidate, -found[name], name))
    if app.candidate and app.candidate not in found:
        order.insert(0, app.candidate)
    told = [
        f"{version_of(id)} on {found[id]:,}" if found[id] else f"{version_of(id)} on none" for id in order
    ]
    return f"Git points at {', '.join(told)}." if told else "Git points at nothing yet."


def _foot(report: Report) -> Html:
    return tag(
        "footer", tag("p", f"canaryfleet {__version__}, from Git and the clusters at ", time(report.at), ".")
    )

"""Where an app stands and how it came to that: what is next and why, what needs a person, and Git's decisions."""

from collections.abc import Iterator, Sequence

from canaryfleet.board import ANY, Concern, concerns
from canaryfleet.models.decision import Reason
from canaryfleet.models.promotion import Bar, Excuse, HoldEntry
from canaryfleet.models.release import version_of
from canaryfleet.models.report import AppReport, Happening, Next
from canaryfleet.page.board import place
from canaryfleet.page.html import Html, escape, join, tag
from canaryfleet.page.words import badge, icon, instant, time
from canaryfleet.phrases import count, some

NEWEST = 8  # decisions that stand there at once; the others open
LINKED = 8  # clusters that are linked before the others are counted
STATES = {"Hold": "Inconclusive", "Rollback": "Failed", "Done": "Verified"}  # whose picture a decision has


# What is next


def next_(app: AppReport) -> Html:
    """What the bot would do now, and why."""
    found = app.next
    if found is None:
        return tag("p", app.unknown or "Nothing is known of what is next.")
    first = found.reasons[0] if found.reasons and not found.clusters else None
    others = found.reasons[1:] if first else found.reasons
    said = _headline(found, first)
    lines = [
        tag("p", _kind(found.kind), " ", tag("b", said) if found.clusters else said, class_="headline"),
        tag("p", tag("b", "To do: "), first.remedy, class_="todo") if first and first.remedy else None,
        tag("ul", (tag("li", _reason(item)) for item in others), class_="reasons") if others else None,
    ]
    return join(lines)


def _kind(kind: str) -> Html:
    state = STATES.get(kind, "Progressing")
    return tag("span", icon(state), kind, class_=f"badge {state.lower()}")


def _headline(found: Next, first: Reason | None) -> str:
    """The decision in a sentence. What waits says why; what moves says where to."""
    if not found.clusters:
        return first.message if first else "nothing is to be done"
    where = some(found.clusters)
    release = version_of(found.release) if found.release else "nothing"
    if found.kind == "Rollback":
        return f"back from {release} on {where}"
    wave = f"wave {found.wave}: " if found.wave else ""
    return f"{release} to {wave}{where}" + ("" if found.ready else ", when a person approves it")


def _reason(item: Reason) -> Html:
    remedy = tag("span", f" To do: {item.remedy}", class_="muted") if item.remedy else None
    return join((tag("b", "Look now. ") if item.alarm else None, item.message, remedy))


# What needs a person


def asking(app: AppReport) -> Html | None:
    """Bad verdicts, each once for all clusters that have it, and what people have decided; None if there is nothing."""
    found = [*_concerns(app), *map(_bar, app.bars), *map(_hold, app.holds), *map(_excuse, app.excused)]
    return tag("ul", (tag("li", item) for item in found), class_="asking", role="list") if found else None


def _concerns(app: AppReport) -> Iterator[Html]:
    for item in concerns(cluster.status for wave in app.waves for cluster in wave.clusters):
        yield join(
            (
                badge(item.kind),
                " ",
                _links(app.app, item),
                tag("span", f" {item.reason}: {item.message.replace(ANY, 'it')}", class_="said"),
                tag("span", tag("b", "To do: "), item.remedy.replace(ANY, "it"), class_="todo")
                if item.remedy
                else None,
            )
        )


def _links(app: str, item: Concern) -> Html:
    linked = [tag("a", name, href=f"#{place(app, name)}") for name in item.clusters[:LINKED]]
    more = len(item.clusters) - LINKED
    return join((Html(", ".join(linked)), f" and {more:,} more" if more > 0 else None))


def _bar(item: Bar) -> Html:
    what = f"release {item.release}" if item.release else f"workload {item.workload}"
    return _decided("Barred", f"{what}: {item.why}", item)


def _hold(item: HoldEntry) -> Html:
    where = f"wave {item.wave}" if item.wave else f"cluster {item.cluster}" if item.cluster else "the app"
    return _decided("Held", f"{where}: {item.why}", item)


def _excuse(item: Excuse) -> Html:
    return _decided("Excused", f"{item.cluster}: {item.why}", item)


def _decided(word: str, what: str, item: Bar | HoldEntry | Excuse) -> Html:
    until = join((", until ", instant(item.until))) if item.until else None
    return join(
        (
            tag("span", word, class_="badge plain"),
            tag("span", f" {what}", class_="said"),
            tag("span", f"by {item.by}, since ", instant(item.since), until, class_="muted"),
        )
    )


# How it came to that


def history(app: AppReport) -> Html:
    """The decisions that Git has, newest first."""
    if not app.history:
        said = "Not known, for the same reason." if app.unknown else "Git has no decision about this app yet."
        return tag("p", said, class_="muted")
    newest, older = app.history[:NEWEST], app.history[NEWEST:]
    shown = tag("ol", map(_happening, newest), class_="history", role="list")
    if not older:
        return shown
    more = tag("ol", map(_happening, older), class_="history", role="list")
    return join(
        (shown, tag("details", tag("summary", f"{count(len(older), 'older commit')}"), more, class_="older"))
    )


def _happening(item: Happening) -> Html:
    return tag(
        "li",
        tag("span", time(item.at), class_="when"),
        tag(
            "div",
            tag("p", _mark(item), " ", _what(item)),
            tag("p", _who(item), class_="muted"),
            tag("details", tag("summary", "What moved, and on what proof"), _details(item))
            if item.moves or item.proofs
            else None,
            class_="what",
        ),
    )


def _mark(item: Happening) -> Html:
    if item.kind:
        return _kind(item.kind)
    return tag("span", "Released" if item.candidate else "By hand", class_="badge plain")


def _what(item: Happening) -> Html:
    """What was done, from what the commit did, and not from what it says."""
    if item.candidate and not item.moves:
        return join((tag("b", version_of(item.candidate)), " is the candidate"))
    moved = some([move.cluster for move in item.moves])
    if item.kind == "Done" and item.release:
        return join((tag("b", version_of(item.release)), ": every wave of it is complete"))
    if item.kind == "Rollback":
        why = next((bar.why for bar in item.bars), "")
        left = sorted({version_of(move.from_) for move in item.moves if move.from_})
        back = f"back from {' and '.join(left)} on {moved}" if item.moves else "a bar is written"
        return join((tag("b", back), f": {why}" if why else None))
    if item.release and item.moves:
        wave = f" to wave {item.wave}" if item.wave else ""
        return join((tag("b", f"{version_of(item.release)}{wave}"), f": {moved}"))
    if item.moves:
        return join((tag("b", "pointers moved"), f": {moved}"))
    return escape(item.subject)


def _who(item: Happening) -> Iterator[Html]:
    approved = f", approved by {', '.join(item.approvedBy)}" if item.approvedBy else ""
    yield escape(f"{item.who}{approved}, commit ")
    yield tag("code", item.commit[:10])
    if item.record:
        yield join((", why: ", tag("code", f"canaryfleet explain {item.record[:12]}")))


def _details(item: Happening) -> Html:
    moves = [
        (move.cluster, _release(move.from_), _release(move.to), _release(move.fallback))
        for move in item.moves
    ]
    proofs = [
        (one.cluster, one.release, f"{one.kind}, {one.basis or one.reason}", one.hash[:12])
        for one in item.proofs
    ]
    return join(
        (
            _table("What moved", ("cluster", "from", "to", "falls back to"), moves),
            _table("Proof, as the commit records it", ("cluster", "release", "verdict", "evidence"), proofs),
        )
    )


def _release(id: str | None) -> str:
    return id or "–"


def _table(caption: str, head: Sequence[str], rows: Sequence[Sequence[str]]) -> Html | None:
    if not rows:
        return None
    return tag(
        "div",
        tag(
            "table",
            tag("caption", caption),
            tag("thead", tag("tr", (tag("th", name, scope="col") for name in head))),
            tag("tbody", (tag("tr", (_cell(cell, first=not at) for at, cell in enumerate(row))) for row in rows)),
        ),
        class_="table",
        tabindex=0,
        role="group",
        aria_label=caption,
    )  # fmt: skip


def _cell(text: str, *, first: bool) -> Html:
    return tag("th", text, scope="row") if first else tag("td", text)

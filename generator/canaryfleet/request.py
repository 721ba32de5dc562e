"""What the bot writes for people: titles and texts of pull requests, and the messages of commits.

All of it is a function of the decision and what it was made of. What clusters, specs and people say in it is
made harmless (markdown.py); what is the same for many clusters is said once; what is too much is counted.
"""

import textwrap
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import NamedTuple, TypeVar

from canaryfleet import board, history, landing, limits, pointing, standing
from canaryfleet.evidence import number
from canaryfleet.landing import Landing
from canaryfleet.markdown import clip, code, codes, name, names, opening, plain, table, text
from canaryfleet.models.decision import Decision, Move, Proof, Reason, ReleaseFacts, Situation
from canaryfleet.models.observation import Evidence, MetricEvidence, Verdict
from canaryfleet.models.release import ReleaseWave, version_of
from canaryfleet.standing import Facts

LONGEST = 58_000  # characters of a text; GitHub takes 65,536
LONGEST_TITLE = 180
WIDTH = 72
ROWS = (100, 40, 15, 5, 1, 0)  # of each table and list, until the text is short enough
METRICS = 6  # that are told of one cluster
BARS, WAVES, HASHES = 20, 20, 20  # that are listed
ANY = "CLUSTER"  # stands for the cluster's name in words that are the same for many


# What it is, in a line


def title(decision: Decision) -> str:
    """One line that no other decision has: closing the pull request declines just this one."""
    return f"{clip(f'{name(decision.app)}: {_what(decision)}', LONGEST_TITLE)} [{name(decision.key)}]"


def subject(decision: Decision) -> str:
    """The first line of the commit's message."""
    said = (f"{name(decision.app)}: {_what(decision, most)}" for most in (3, 1, 0))
    return next(
        (line for line in said if len(line) <= WIDTH),
        clip(f"{name(decision.app)}: {_what(decision, 0)}", WIDTH),
    )


def _what(decision: Decision, most: int = 3) -> str:
    """What is done; at most so many clusters by name."""
    release = _versions([decision.release])
    clusters = [move.cluster for move in decision.moves]
    where = names(clusters) if len(clusters) <= most else _clusters(clusters)
    if decision.kind in ("Hold", "Done"):
        return f"{release} is done" if decision.kind == "Done" else f"{release} is held"
    if not decision.moves:
        barred = [bar.release or bar.workload for bar in (*decision.bars, *decision.owes)]
        return f"bar {_versions(barred)}"
    if decision.kind == "Rollback":
        return f"back from {_versions([move.from_ for move in decision.moves])} on {where}"
    if all(move.to is None for move in decision.moves):
        wave = f" of wave {name(decision.wave)}" if decision.wave else ""
        return f"leaves {where}{wave}"
    again = " again" if decision.kind == "Retry" else ""
    wave = f"wave {name(decision.wave)} ({where})" if decision.wave else where
    return f"{release}{again} to {wave}"


def version(release: str | None) -> str:
    """The version of a release's id, which people know it by."""
    return name(version_of(release)) if release else "nothing"


def _versions(releases: Iterable[str | None]) -> str:
    known = list(dict.fromkeys(version(id) for id in releases))
    return " and ".join(known[:2]) if len(known) <= 2 else f"{known[0]} and {len(known) - 1} more"


def _clusters(clusters: Sequence[str]) -> str:
    return f"{len(clusters):,} cluster" + ("" if len(clusters) == 1 else "s")


# The text of a pull request


def body(situation: Situation, decision: Decision, hash: str, hidden: str) -> str:
    """The text for people, with the record that nobody sees (`record.hidden`) as its end; never over LONGEST."""
    facts = standing.gather(situation)
    parts = _parts(facts, decision)
    end = _end(hash)
    room = LONGEST - len(end) - len(hidden) - 4
    said = ""
    for most in ROWS:
        said = "\n\n".join("\n".join(lines) for part in parts if (lines := list(part(most))))
        if len(said) <= room:
            break
    return f"{said[:room]}\n\n{end}\n\n{hidden}"


Part = Callable[[int], Iterator[str]]
"""Lines of a section, with at most so many rows."""


def _parts(facts: Facts, decision: Decision) -> list[Part]:
    moves, proofs = _moves(facts, decision), _proofs(facts, decision)
    return [
        lambda _: _head(decision),
        lambda most: _why(decision, most),
        lambda most: _section("What moves", MOVES, moves, most),
        lambda most: _section(f"Where {code(version(decision.release))} runs already", PROOFS, proofs, most),
        lambda _: _waves(facts, decision),
        lambda _: _effects(facts, decision),
        lambda _: _choices(decision),
        lambda most: _hashes(decision, most),
    ]


def _head(decision: Decision) -> Iterator[str]:
    whole = name(decision.release or "")
    id = f" Release {code(whole)}." if decision.release and whole != version(decision.release) else ""
    yield f"**{text(name(decision.app))}**: {text(_what(decision))}.{id}"


def _why(decision: Decision, most: int) -> Iterator[str]:
    said = _alike((_reason_words(item), item.clusters) for item in decision.reasons)
    yield "### Why"
    for (message, remedy, alarm), clusters in [*said.items()][: max(1, most)]:
        shown = message.replace(ANY, names(clusters)) if ANY in message else message
        todo = f" **To do:** {text(remedy)}." if remedy else ""
        yield f"- {'**Look now.** ' if alarm else ''}{opening(shown).rstrip('.')}.{todo}"
    if len(said) > max(1, most):
        yield f"- and {len(said) - max(1, most):,} more reasons, which the record has"


def _reason_words(item: Reason) -> tuple[str, str, bool]:
    """What is the same for many clusters, of each of which there is a reason of its own."""
    message = item.message
    if len(item.clusters) == 1 and message.startswith(f"{item.clusters[0]} "):
        message = ANY + message.removeprefix(item.clusters[0])
    return message, item.remedy, item.alarm


Words = TypeVar("Words")


def _alike(items: Iterable[tuple[Words, Sequence[str]]]) -> dict[Words, list[str]]:
    """The clusters of equal words."""
    found: dict[Words, list[str]] = {}
    for words, clusters in items:
        found.setdefault(words, []).extend(clusters)
    return found


Rows = Mapping[tuple[str, ...], Sequence[str]]
"""Clusters by the cells that they have in common."""
MOVES = ("clusters", "from", "to", "goes back to", "verdict there now", "measured", "since")
PROOFS = ("clusters", "wave", "verdict", "measured", "since")


def _section(head: str, columns: Sequence[str], rows: Rows, most: int) -> Iterator[str]:
    if not rows:
        return
    shown = [(codes(clusters), *cells) for cells, clusters in [*rows.items()][:most]]
    left = [cluster for clusters in [*rows.values()][most:] for cluster in clusters]
    yield f"### {head}"
    yield ""
    if shown:
        yield from table(columns, shown)
    if left:
        yield ""
        yield f"And {_clusters(left)} more ({text(names(left))}): the record has all of them."


def _moves(facts: Facts, decision: Decision) -> Rows:
    return _alike(((_move_cells(facts, move)), (move.cluster,)) for move in decision.moves)


def _move_cells(facts: Facts, move: Move) -> tuple[str, ...]:
    released = [code(name(id)) if id else "–" for id in (move.from_, move.to, move.fallback)]
    return (*released, *_verdict_cells(facts, move.cluster))


def _proofs(facts: Facts, decision: Decision) -> Rows:
    """Clusters that have the release and don't move: what the decision rests on, in the order of the waves."""
    moved = {move.cluster for move in decision.moves}
    waves = facts.waves.get(decision.release or "", {})
    having = limits.having(facts, decision.release or "")
    places = {cluster: index for index, cluster in enumerate(waves)}
    among = sorted(having, key=lambda cluster: (places.get(cluster, len(places)), cluster))
    return _alike(
        (
            (text(name(wave.name)) if (wave := waves.get(cluster)) else "–", *_verdict_cells(facts, cluster)),
            (cluster,),
        )
        for cluster in among
        if cluster not in moved
    )


def _verdict_cells(facts: Facts, cluster: str) -> tuple[str, str, str]:
    """Verdict, measured and since: as it was seen, or else as a commit recorded it."""
    pointer, verdict = facts.pointers.get(cluster), standing.seen(facts, cluster)
    known = facts.recorded.get((pointer.release, cluster)) if pointer else None
    if pointer is None:
        return "not there", "–", "–"
    if (verdict is None or verdict.kind == "Unknown") and known is not None:
        said = f"{known.proof.kind}, as commit {code(name(facts.situation.history[known.place].commit[:12]))} records"
        return said, "–", _time(known.proof.since)
    if verdict is None:
        return "not seen since it has it", "–", "–"
    return (
        f"{verdict.kind} ({text(name(verdict.basis or verdict.reason))})",
        _measured(verdict.evidence),
        _time(verdict.since),
    )


def _time(at: datetime | None) -> str:
    return at.astimezone(UTC).strftime("%Y-%m-%d %H:%MZ") if at else "–"


class Told(NamedTuple):
    """A metric as it is told: plain text, of which nothing is trusted."""

    name: str
    value: str
    stable: str
    promote: str
    rollback: str

    def words(self, of: Callable[[str], str]) -> str:
        """In words, each made harmless by `of`."""
        limits = (("stable", self.stable), ("promote", self.promote), ("roll back", self.rollback))
        return ", ".join(
            [f"{of(self.name)} {of(self.value)}", *(f"{word} {of(at)}" for word, at in limits if at)]
        )


def told(evidence: Evidence) -> list[Told]:
    """Each metric once: where it was nearest to its threshold, or beyond it."""
    nearest: dict[str, tuple[float, MetricEvidence]] = {}
    for run in evidence.runs:
        for metric in run.metrics:
            near = board.near(metric)
            rank = near.distance if near else float("inf")
            if metric.name not in nearest or rank < nearest[metric.name][0]:
                nearest[metric.name] = (rank, metric)
    return [_told(metric) for _, metric in nearest.values()]


def _told(metric: MetricEvidence) -> Told:
    near = board.near(metric)
    value = f"{near.value:.4g}" if near else metric.value or f"{metric.good} of {metric.measurements} good"
    value = f"{metric.unit} {value}" if metric.unit else value
    twin = number(metric.stable)
    stable = metric.stable or "" if twin is None else f"{twin:.4g}"
    return Told(metric.name, value, stable, metric.promote or "", metric.rollback or "")


def _measured(evidence: Evidence) -> str:
    metrics = told(evidence)
    said = [item.words(lambda said: code(said, 60)) for item in metrics[:METRICS]]
    said += [
        f"{code(pod.name)} crashed {pod.crashes} times: {text(pod.why, 80)}" for pod in evidence.pods[:2]
    ]
    if len(metrics) > METRICS:
        said.append(f"{len(metrics) - METRICS} more")
    return "<br>".join(said) or "–"


# Waves, effects, choices


def _waves(facts: Facts, decision: Decision) -> Iterator[str]:
    release = facts.situation.releases.get(decision.release or "")
    if release is None or not release.waves:
        return
    yield f"### Waves of {code(name(release.id))}"
    yield ""
    rows = [_wave_cells(facts, decision, release, wave) for wave in release.waves]
    yield from table(("wave", "state", "verified", "limits"), rows[:WAVES])
    if len(rows) > WAVES:
        yield ""
        yield f"And {len(rows) - WAVES:,} waves more."


def _wave_cells(
    facts: Facts, decision: Decision, release: ReleaseFacts, wave: ReleaseWave
) -> tuple[str, ...]:
    has = [cluster for cluster in wave.members if limits.present(facts, cluster) == release.id]
    verified = sum(standing.verified(facts, cluster, release.id) for cluster in has)
    state = "under way" if has else "not begun"
    if wave.name in decision.complete:
        state = "complete"
    failed = sum(standing.failed(facts, cluster, release.id) for cluster in wave.members)
    if failed:
        state = f"{state}, failed on {failed}"
    if wave.name == decision.wave:
        state = f"**this pull request**, {state}"
    return text(name(wave.name)), state, f"{verified} of {len(wave.members)}", _limits(wave)


def _limits(wave: ReleaseWave) -> str:
    said = [f"{pointing.limit(wave)} at once", f"{pointing.limit_of_failures(wave)} may fail"]
    if wave.minSuccessTime != "0":
        said.append(f"baked for {wave.minSuccessTime}")
    if wave.approval == "required":
        said.append("approved by a person")
    return ", ".join(said)


def _effects(facts: Facts, decision: Decision) -> Iterator[str]:
    """Exactly what the commit changes, and what of it no canary stands before."""
    yield "### What the commit changes"
    folder = f"overlays/{name(decision.app)}"
    for what, clusters in _alike((_effect(facts, move), (move.cluster,)) for move in decision.moves).items():
        yield f"- {codes(clusters)}: {what}"
    if any(move.from_ and move.to for move in decision.moves):
        yield (
            f"- In `{folder}/clusters/<cluster>/kustomization.yaml` it changes the lines that name the release, "
            "its variant, its configuration and its fallback. Replicas, autoscaler, hosts, gateways and metric "
            "addresses stay as they are: they follow the inventory, and never travel with a pointer."
        )
    if decision.kind == "Done":
        yield f"- `{folder}/done.yaml` names the release, and the commit's message records what proved it. No cluster changes."
    for bar in decision.bars[:BARS]:
        what = f"release {code(bar.release)}" if bar.release else f"workload {code(bar.workload or '')}"
        yield f"- **At once, everywhere:** `{folder}/promotion.yaml` bars {what}: no cluster gets it until a person removes the bar."
    for bar in decision.owes[:BARS]:
        what = code(bar.release or bar.workload or "")
        yield f"- {what} is to be barred, and is not yet: `{folder}/promotion.yaml` can't be read. The bot does it when it can."
    if decision.ends:
        yield f"- What was proven of {codes(decision.ends)} counts no more: it would begin with its first wave again."


def _effect(facts: Facts, move: Move) -> str:
    releases = facts.situation.releases
    if move.to is None:
        return "**at once:** the overlay goes, and with it everything of the app there."
    if move.from_ is None:
        return (
            "**at once, without a canary:** the app is there for the first time, with its hosts and routes."
        )
    before, after = releases.get(move.from_), releases.get(move.to)
    if before and after and pointing.same_pods(before, after, move.cluster):
        return "the pods are the same: none restarts, no canary runs; the policy changes."
    if limits.goes_back(facts, move):
        return f"it goes back to {code(name(move.to))}, which was proven there."
    return (
        f"a canary of {code(name(move.to))} begins when it has synced; users meet it by the release's steps."
    )


def _choices(decision: Decision) -> Iterator[str]:
    waits = [
        item for item in decision.reasons if item.code in ("approval-missing", "by-hand", "changes-requested")
    ]
    yield "### What you can do"
    if decision.ready:
        yield "- **Nothing:** the bot merges it, having looked and decided anew just before."
    elif any(item.code == "by-hand" for item in waits):
        yield "- **Merge it:** going back is not automatic for this app."
    else:
        yield "- **Approve it:** the bot merges it then, having looked and decided anew just before. An approval is of the present head, and no other."
    if decision.kind == "Rollback":
        yield "- **Close it:** a no to exactly this. What runs stays, and nothing goes forward either while the reason lasts."
    elif decision.kind == "Done":
        yield "- **Close it:** it is not asked again for this release. What was measured last is then known only as long as the clusters keep it."
    else:
        yield "- **Close it:** a no to exactly this. Another batch, another release or another attempt is asked anew."
    yield "- **Commit to its branch:** it is yours then, and the bot neither changes nor merges it."


def _hashes(decision: Decision, most: int) -> Iterator[str]:
    """What the merged commit records."""
    if not decision.evidence or not most:
        return
    yield f"<details><summary>Evidence that the merged commit records ({len(decision.evidence):,})</summary>"
    yield ""
    rows = [
        (code(name(item.cluster)), code(name(item.release)), item.kind, code(name(item.hash)))
        for item in decision.evidence[: min(most, HASHES)]
    ]
    yield from table(("cluster", "release", "verdict", "SHA-256 of the evidence"), rows)
    if len(decision.evidence) > len(rows):
        yield ""
        yield f"And {len(decision.evidence) - len(rows):,} more: the record has them."
    yield ""
    yield "</details>"


def _end(hash: str) -> str:
    return (
        "`canaryfleet explain` with this pull request's number decides it again, and says what would change it. "
        f"Record {code(hash)}"
    )


# The message of a commit


def message(decision: Decision, landed: Landing, verdicts: Iterable[Verdict]) -> str:
    """Subject, what moved, why, and on which evidence; then the lines for the next run (landing.py, history.py).

    `verdicts` are those that were decided on. Lines of text begin with `- ` or a blank, so that none can
    pass for one of ours; a proof whose verdict no line can hold is named instead.
    """
    known = {(item.cluster, item.hash): item for item in verdicts}
    ordered = sorted(decision.evidence, key=lambda proof: proof.kind != "Failed")
    proven = [(proof, known.get((proof.cluster, proof.hash))) for proof in ordered]
    held = {proof.cluster: verdict for proof, verdict in proven if verdict and _fits(verdict)}
    lost = [proof.cluster for proof in ordered if proof.cluster not in held]
    parts = [
        ("What moved:", _moved(decision)),
        ("Why:", [_because(item) for item in decision.reasons]),
        ("Evidence:", _evidence(proven)),
    ]
    if lost:
        parts.append(("Not recorded, since no line can hold it:", [names(lost)]))
    said = [subject(decision), *("\n".join(_paragraph(head, items)) for head, items in parts if items)]
    ours = [landing.line(landed), *history.lines(held.values())]
    return "\n\n".join([*said, "\n".join(ours)]) + "\n"


MOST = 40  # items of a paragraph


def _paragraph(head: str, items: Sequence[str]) -> Iterator[str]:
    yield head
    more = [f"and {len(items) - MOST:,} more"] if len(items) > MOST else []
    for item in [*items[:MOST], *more]:
        yield from textwrap.wrap(
            plain(item, 2_000), WIDTH, initial_indent="- ", subsequent_indent="  ", break_on_hyphens=False
        )


def _moved(decision: Decision) -> list[str]:
    said = _alike(((move.from_, move.to, move.fallback), (move.cluster,)) for move in decision.moves)
    moved = []
    for (old, new, fallback), clusters in said.items():
        back = f", falls back to {name(fallback)}" if fallback else ""
        at = [name(id) if id else "nothing" for id in (old, new)]
        moved.append(f"{names(clusters, 10)}: {at[0]} -> {at[1]}{back}")
    for bar in decision.bars:
        moved.append(f"barred: {name(bar.release or bar.workload or '')}")
    for bar in decision.owes:
        moved.append(
            f"to be barred, when promotion.yaml can be read: {name(bar.release or bar.workload or '')}"
        )
    return moved


def _because(item: Reason) -> str:
    return plain(item.message) + (f" ({plain(item.remedy)})" if item.remedy else "")


def _evidence(proven: Sequence[tuple[Proof, Verdict | None]]) -> list[str]:
    said = _alike((_proof_words(proof, verdict), (proof.cluster,)) for proof, verdict in proven)
    return [words.replace(ANY, names(clusters, 10), 1) for words, clusters in said.items()]


def _proof_words(proof: Proof, verdict: Verdict | None) -> str:
    since = f" since {_time(proof.since)}" if proof.since else ""
    why = ", ".join(filter(None, (proof.basis, proof.reason)))
    metrics = told(verdict.evidence) if verdict else []
    said = [item.words(lambda said: plain(said, 60)) for item in metrics[:METRICS]]
    said += [
        f"{name(pod.name)} crashed {pod.crashes} times"
        for pod in (verdict.evidence.pods[:2] if verdict else ())
    ]
    measured = f": {'; '.join(said)}" if said else ""
    return f"{ANY}: {proof.kind} on {name(proof.release)} ({plain(why)}){since}{measured}"


def _fits(verdict: Verdict) -> bool:
    """Whether a record can hold a verdict."""
    try:
        return bool(history.line(verdict))
    except ValueError:
        return False

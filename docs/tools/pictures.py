"""The pictures in docs/pictures: drawn here, as SVG that needs no script and no font of its own.

Each has its own ground, and follows the reader's light or dark setting as a whole, so it can be read on any page.
"""

from html import escape
from typing import NamedTuple

STYLE = """\
text { font: 15px system-ui, "Segoe UI", "Helvetica Neue", Arial, sans-serif; fill: var(--ink); }
.head { font-weight: 600; } .small { font-size: 13px; fill: var(--soft); } .mid { text-anchor: middle; }
.end { text-anchor: end; } .ground { fill: var(--ground); } .panel { fill: var(--panel); }
.box { fill: var(--box); stroke: var(--edge); stroke-width: 1.5; }
.good { fill: var(--good); stroke: var(--good-edge); stroke-width: 1.5; }
.way { fill: var(--way); stroke: var(--way-edge); stroke-width: 1.5; }
.bad { fill: var(--bad); stroke: var(--bad-edge); stroke-width: 1.5; }
.line { fill: none; stroke: var(--soft); stroke-width: 1.8; marker-end: url(#tip); } .tip { fill: var(--soft); }
svg { --ground: #fff; --panel: #f1f4f8; --box: #fff; --ink: #1b2430; --soft: #4d5b6c; --edge: #8a99ab;
  --good: #d9f2e0; --good-edge: #1f7a3d; --way: #dbe9fc; --way-edge: #1f5fb0; --bad: #fbdcdc; --bad-edge: #a92323; }
@media (prefers-color-scheme: dark) { svg { --ground: #12171e; --panel: #1c242e; --box: #27323f; --ink: #eef3f9;
  --soft: #b4c1d0; --edge: #7488a0; --good: #173d25; --good-edge: #5cc482; --way: #17345a; --way-edge: #75aef5;
  --bad: #4d1c1f; --bad-edge: #f08a8a; } }
"""


class Picture(NamedTuple):
    """A picture: its size, what it shows in words, and its parts as SVG."""

    width: int
    height: int
    title: str
    parts: list[str]

    def svg(self) -> str:
        """The file."""
        return "\n".join(
            [
                f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {self.width} {self.height}" role="img">',
                f"<title>{escape(self.title)}</title>",
                f"<style>\n{STYLE}</style>",
                '<defs><marker id="tip" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="7" markerHeight="7" '
                'orient="auto"><path class="tip" d="M0 0L10 5L0 10z"/></marker></defs>',
                f'<rect class="ground" width="{self.width}" height="{self.height}" rx="10"/>',
                *self.parts,
                "</svg>",
                "",
            ]
        )


def text(x: int, y: int, words: str, kind: str = "") -> str:
    """A line of text; `kind`: classes of it."""
    return f'<text x="{x}" y="{y}"' + (f' class="{kind}"' if kind else "") + f">{escape(words)}</text>"


def box(x: int, y: int, width: int, height: int, head: str, *lines: str, kind: str = "box") -> str:
    """A box with a heading, and lines below it."""
    middle, first = x + width // 2, y + (height - 20 * len(lines)) // 2 + 5
    return "\n".join(
        [
            f'<rect class="{kind}" x="{x}" y="{y}" width="{width}" height="{height}" rx="7"/>',
            text(middle, first, head, "head mid"),
            *(text(middle, first + 20 * row, line, "small mid") for row, line in enumerate(lines, 1)),
        ]
    )


def panel(x: int, y: int, width: int, height: int, head: str) -> str:
    """A ground for several boxes."""
    rect = f'<rect class="panel" x="{x}" y="{y}" width="{width}" height="{height}" rx="9"/>'
    return rect + "\n" + text(x + 18, y + 27, head, "head")


def line(*points: tuple[int, int]) -> str:
    """An arrow along points."""
    return f'<path class="line" d="M{" L".join(f"{x} {y}" for x, y in points)}"/>'


def path() -> Picture:
    """From a spec to a cluster, and back to the next decision."""
    parts = [
        panel(20, 20, 880, 185, "Git: what should run where"),
        box(40, 90, 200, 80, "spec", "specs/search/canary.yaml", "written by people"),
        box(350, 62, 220, 56, "release 1.5.0", "frozen, with its proofs' rules"),
        box(350, 134, 220, 56, "release 1.4.0", "the fallback of eu-1"),
        box(670, 62, 212, 56, "overlay of eu-1", "points at 1.5.0"),
        box(670, 134, 212, 56, "overlay of us-1", "points at 1.4.0"),
        line((240, 120), (350, 92)),
        text(295, 88, "render", "small mid"),
        line((670, 90), (570, 90)),
        text(622, 80, "pointer", "small mid"),
        line((670, 162), (570, 162)),
        text(622, 152, "pointer", "small mid"),
        line((776, 205), (776, 300)),
        text(764, 257, "Argo CD, or any GitOps agent", "small end"),
        panel(510, 300, 390, 160, "Clusters: what runs"),
        box(530, 345, 170, 98, "eu-1", "Rollout of 1.5.0", "AnalysisRuns measure", kind="way"),
        box(712, 345, 170, 98, "us-1", "Rollout of 1.4.0", kind="good"),
        line((510, 394), (460, 394)),
        box(260, 345, 200, 98, "verdict", "of each cluster, recomputed", "from what was measured"),
        line((260, 394), (210, 394)),
        box(30, 345, 180, 98, "decision", "Start, Advance, Hold,", "Rollback, Done"),
        line((120, 345), (120, 205)),
        text(132, 270, "a pull request moves pointers", "small"),
    ]
    title = (
        "A spec is rendered into a frozen release; overlays in Git point at releases and are applied to clusters; what is "
        "measured there becomes a verdict of each cluster, the verdicts a decision, and the decision a pull request that "
        "moves pointers."
    )
    return Picture(920, 480, title, parts)


def waves() -> Picture:
    """A release on its way through three waves."""

    def wave(x: int, name: str, says: str, tiles: list[tuple[str, str, str]]) -> list[str]:
        parts = [panel(x, 20, 280, 250, name), text(x + 18, 66, says, "small")]
        for row, (cluster, state, kind) in enumerate(tiles):
            parts.append(box(x + 18, 82 + 60 * row, 244, 50, cluster, state, kind=kind))
        return parts

    parts = [
        *wave(20, "wave pilot", "minSuccessTime: 1h", [("eu-west-1a", "Verified, bake passed", "good")]),
        *wave(
            330,
            "wave europe",
            "maxConcurrency: 2",
            [
                ("eu-west-1b", "Verified, in its bake", "good"),
                ("eu-central-1a", "Progressing: 25%", "way"),
                ("eu-north-1a", "waits for its turn", "box"),
            ],
        ),
        *wave(
            640,
            "wave rest",
            "approval: required",
            [("us-east-1a", "waits for the wave", "box"), ("us-west-2a", "waits for the wave", "box")],
        ),
        line((300, 145), (330, 145)),
        line((610, 145), (640, 145)),
        text(
            20,
            306,
            "A pointer moves into the next wave when the wave before is complete on exactly this release:",
        ),
        text(
            20,
            330,
            "enough verified clusters, no more failures than it may have, the bake passed, a window open,",
            "small",
        ),
        text(
            20,
            350,
            "approvals given, and nobody holds it. One failure beyond the limit sends every cluster back.",
            "small",
        ),
    ]
    title = (
        "Three waves: the only cluster of the pilot is verified; in Europe one is verified, one under way and one waits for "
        "its turn; the rest waits for Europe."
    )
    return Picture(940, 370, title, parts)


def step() -> Picture:
    """What one measurement after a step leads to."""
    parts = [
        text(30, 40, "one measurement, e.g. the share of failed requests", "head"),
        box(30, 60, 270, 70, "below promoteBelow", "good: enough of these end the step", kind="good"),
        box(325, 60, 270, 70, "between the two", "proves nothing: measure again", kind="box"),
        box(620, 60, 270, 70, "above rollbackAbove", "proof of a bad version", kind="bad"),
        line((165, 130), (165, 180)),
        line((460, 130), (460, 180)),
        line((755, 130), (755, 180)),
        box(30, 180, 270, 70, "the next step", "more requests for the canary", kind="good"),
        box(325, 180, 270, 70, "Inconclusive in the end", "waits for a person, goes back later"),
        box(620, 180, 270, 70, "abort", "all requests to stable, at once", kind="bad"),
        text(
            30,
            288,
            "Too few requests, no answer, NaN, or a metric server that is out: never good, and no proof of bad.",
            "small",
        ),
    ]
    title = (
        "A measurement below the promote threshold is good and leads to the next step; above the rollback threshold it aborts "
        "the canary; between them it proves nothing, and a person is asked in the end."
    )
    return Picture(920, 310, title, parts)


PICTURES = {"path": path, "waves": waves, "step": step}


def files() -> dict[str, str]:
    """Each picture by its path."""
    return {f"docs/pictures/{name}.svg": draw().svg() for name, draw in PICTURES.items()}

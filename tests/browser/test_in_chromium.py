"""The page in a real browser: silent, accessible, usable by keyboard and on a phone, and looking as it should."""

import base64
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import reports
from canaryfleet.page import render
from chromium import Chromium, Page

SHOTS = Path(__file__).parent / "shots"
VIEWS: dict[str, dict[str, Any]] = {
    "light": {"width": 1440, "height": 1200},
    "dark": {"width": 1440, "height": 1200, "dark": True},
    "phone": {"width": 390, "height": 1600, "phone": True},
    "dark-phone": {"width": 390, "height": 1600, "phone": True, "dark": True},
}
OPENED = "assistant/us-east-001"
TILE = f"document.getElementById('{OPENED}')"
# What can be judged without a person, of WCAG 2.0 to 2.2 at AA and what axe calls best practice.
AXE = """
axe.run(document, {runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice']}).then(found => ({
  passes: found.passes.length,
  violations: found.violations.map(item => [item.id, item.help, item.nodes.slice(0, 3).map(node => node.html + ' ' + node.failureSummary)]),
}))
"""


@pytest.fixture
def opened(browser: Chromium) -> Iterator[Any]:
    """Opens pages, and closes them after the test."""
    pages: list[Page] = []

    def open(address: str, view: str = "light") -> Page:
        pages.append(browser.open(address, **VIEWS[view]))
        return pages[-1]

    yield open
    for page in pages:
        page.close()


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("at", ["", f"#{OPENED}"])
def test_axe_finds_nothing_and_the_console_is_silent(
    opened: Any, fleet: str, axe: str, view: str, at: str
) -> None:
    page = opened(fleet + at, view)
    for details in ("", ".history details, .older") if at else ("",):
        page.run(f"document.querySelectorAll('{details or 'none'}').forEach(item => item.open = true)")
    page.run(axe + "; 0")
    found = page.run(AXE)
    assert found["violations"] == []
    assert found["passes"] > 25, "axe has looked"
    assert page.said() == []


def test_many_clusters_are_as_accessible(opened: Any, tmp_path: Path, axe: str) -> None:
    path = tmp_path / "many.html"
    path.write_text(render(reports.large(150)))
    page = opened(path.as_uri())
    page.run(axe + "; 0")
    assert page.run(AXE)["violations"] == []


def test_a_thousand_clusters_are_light_and_silent(opened: Any, thousand: str) -> None:
    page = opened(thousand)
    assert page.said() == []
    assert page.run("document.querySelectorAll('.tile').length") == 1000
    assert page.run("document.querySelectorAll('*').length") < 16_000
    page.run("document.querySelector('.filter.failed').click()")
    assert page.run("document.getElementById('shown').textContent") == "1 of 1,000 shown"


@pytest.mark.parametrize("width", [320, 390, 768, 1100, 1440])
@pytest.mark.parametrize("at", ["", f"#{OPENED}"])
def test_nothing_is_wider_than_the_window(opened: Any, fleet: str, width: int, at: str) -> None:
    """WCAG 1.4.10: down to 320 pixels, which is also 1280 at a zoom of 400 %."""
    page = opened(fleet + at)
    page.size(width, 900)
    assert page.run("document.documentElement.scrollWidth") <= width


def test_it_opens_and_closes_by_keyboard(opened: Any, fleet: str) -> None:
    page = opened(fleet)
    page.run(f"{TILE}.querySelector('summary').focus()")
    page.press("Enter")
    assert page.run(f"{TILE}.open")
    assert page.run(f"{TILE}.querySelectorAll('.plot').length") == 4
    page.press("Tab")
    assert page.run("document.activeElement.textContent") == "Close"
    page.press("Escape")
    assert not page.run(f"{TILE}.open")
    assert page.run(f"document.activeElement === {TILE}.querySelector('summary')")


def test_tab_reaches_everything_from_the_top_and_it_is_seen_where_one_is(opened: Any, fleet: str) -> None:
    page = opened(fleet)
    seen = []
    for _ in range(22):
        page.press("Tab")
        seen.append(
            page.run(
                "document.activeElement.localName + ' ' + document.activeElement.textContent.trim().slice(0, 12)"
            )
        )
        assert page.run("parseFloat(getComputedStyle(document.activeElement).outlineWidth)") >= 2, seen[-1]
    assert seen[0] == "a To the apps"
    assert sum(item.startswith("button") for item in seen) == 6
    assert {"input ", "a assistant, F", "a us-east-001"} <= set(seen)
    assert sum(item.startswith("summary") for item in seen) > 5


def test_it_filters_by_state_and_name(opened: Any, fleet: str) -> None:
    page = opened(fleet)
    shown = "[...document.querySelectorAll('.tile')].filter(tile => tile.checkVisibility()).map(tile => tile.dataset.name)"
    page.run("document.querySelector('.filter.failed').click()")
    assert page.run(shown) == ["us-east-001"]
    assert page.run("document.querySelector('.filter.failed').ariaPressed") == "true"
    assert page.run("document.getElementById('shown').textContent") == "1 of 30 shown"
    page.run("document.querySelector('.filter.failed').click()")
    page.run("document.getElementById('find').focus()")
    page.press("0", "0", "3")
    assert page.run(f"{shown}.every(name => name.endsWith('003'))")
    page.press("Escape")
    assert len(page.run(shown)) == 30


def test_an_address_opens_a_cluster_also_where_a_filter_hides_it(opened: Any, fleet: str) -> None:
    page = opened(fleet)
    page.run("document.querySelector('.filter.verified').click()")
    page.run(
        f"new Promise(done => {{ addEventListener('hashchange', () => setTimeout(done)); location.hash = '{OPENED}'; }})"
    )
    assert page.run(f"{TILE}.open && {TILE}.checkVisibility()")
    assert page.run(f"document.activeElement === {TILE}.querySelector('summary')")


def test_where_there_is_room_a_cluster_opens_beside_the_board(opened: Any, fleet: str) -> None:
    page = opened(fleet + f"#{OPENED}")
    body, main = page.run(
        f"[{TILE}.querySelector('.body'), document.querySelector('.waves')].map(item => item.getBoundingClientRect().toJSON())"
    )
    assert body["left"] >= main["right"]
    assert (body["top"], body["bottom"], body["right"]) == (0, 1200, 1440)
    page.run("document.getElementById('assistant/us-west-001').querySelector('summary').click()")
    assert page.run("[...document.querySelectorAll('.tile > [open]')].map(item => item.id)") == [
        "assistant/us-west-001"
    ]


def test_without_its_script_everything_can_be_read(opened: Any, fleet: str) -> None:
    page = opened("about:blank")
    page.call("Emulation.setScriptExecutionDisabled", value=True)
    page.load(fleet)
    document = page.call("DOM.getDocument", depth=0)["root"]["nodeId"]
    found = page.call("DOM.querySelectorAll", nodeId=document, selector=".tile .body .plot")["nodeIds"]
    assert len(found) > 15
    (tools,) = page.call("DOM.querySelectorAll", nodeId=document, selector=".tools[hidden]")["nodeIds"]
    assert tools


def test_the_policy_stops_what_is_not_ours(opened: Any, fleet: str) -> None:
    page = opened(fleet)
    page.run(
        "document.body.insertAdjacentHTML('beforeend', '<img src=http://127.0.0.1:9/x onerror=\"window.evil = 1\"><b style=\"color: red\">x</b>')"
    )
    page.run("new Promise(done => setTimeout(done, 50))")
    assert page.run("window.evil") is None
    assert sum("Content Security Policy" in item for item in page.said()) >= 2


# Screenshots. Fonts, and how they are smoothed, differ between machines and versions; so all text is set in one font,
# and pictures are compared at a twentieth of their size, where a letter is less than a dot: places, sizes and colours
# count. What a person sees at full size is for a person.

CELL = 20
MEAN, FAR, MOST = 2.0, 32, 0.01  # of 255: how much all may differ, and how many cells by how much
FONT = """
(() => { const sheet = new CSSStyleSheet(); sheet.replaceSync('* { font-family: "DejaVu Sans" !important }');
  document.adoptedStyleSheets = [sheet]; return document.fonts.ready.then(() => document.fonts.check('16px "DejaVu Sans"')); })()
"""
SMALL = """
(async source => {
  const image = new Image(); image.src = source; await image.decode();
  const canvas = document.createElement('canvas');
  canvas.width = Math.ceil(image.width / SCALE); canvas.height = Math.ceil(image.height / SCALE);
  const to = canvas.getContext('2d'); to.imageSmoothingQuality = 'high';
  to.drawImage(image, 0, 0, canvas.width, canvas.height);
  const data = [...to.getImageData(0, 0, canvas.width, canvas.height).data].filter((_, at) => at % 4 < 3);
  return [canvas.width, canvas.height, data, canvas.toDataURL('image/png')];
})
"""


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("state", ["closed", "open"])
def test_it_looks_as_it_should(
    opened: Any, fleet: str, request: pytest.FixtureRequest, view: str, state: str
) -> None:
    page = opened(fleet, view)
    assert page.run(FONT), "the font of the screenshots is missing: fonts-dejavu-core"
    if state == "open":
        page.run(f"location.hash = '{OPENED}'; new Promise(done => setTimeout(done, 100))")
    shot = page.screenshot()
    blank = opened("about:blank")
    width, height, found, picture = _small(blank, shot, CELL)
    path = SHOTS / f"{view}-{state}.png"
    if request.config.getoption("--renew"):
        path.write_bytes(base64.b64decode(picture.partition(",")[2]))
    wanted_width, wanted_height, wanted, _ = _small(blank, path.read_bytes(), 1)
    assert (width, height) == (wanted_width, wanted_height)
    off = [abs(one - other) for one, other in zip(found, wanted, strict=True)]
    mean, far = sum(off) / len(off), sum(item > FAR for item in off) / len(off)
    if mean > MEAN or far > MOST:
        kept = path.with_name(f"{path.stem}.found.png")
        kept.write_bytes(shot)
        pytest.fail(
            f"{view}, {state}: differs by {mean:.2f}, {far:.1%} by much; see {kept}; `make page RENEW=--renew` if it is meant"
        )


def _small(blank: Page, picture: bytes, scale: int) -> Any:
    source = f"data:image/png;base64,{base64.b64encode(picture).decode()}"
    return blank.run(f"{SMALL.replace('SCALE', str(scale))}('{source}')")

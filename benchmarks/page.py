"""The page of very many clusters: how long it takes to make, and how a browser loads, scrolls and filters it.

`python -m benchmarks.page [CLUSTERS]` needs a Chromium on the PATH. A frame of a page that scrolls without a stutter
takes 17 ms on a screen of 60 Hz; headless Chromium draws without a graphics card, so real ones are faster.
"""

import sys
import tempfile
from pathlib import Path
from statistics import median
from time import process_time
from typing import Any

TESTS = Path(__file__).resolve().parent.parent / "tests"
sys.path.insert(0, str(TESTS))
import reports  # noqa: E402  (the fleets that the tests of the page draw)
from canaryfleet.output import table  # noqa: E402
from canaryfleet.page import render  # noqa: E402
from chromium import Chromium  # noqa: E402  (the browser that they drive)

ROUNDS = 5
NAVIGATION = "performance.getEntriesByType('navigation')[0].toJSON()"
PAINT = """new Promise(done => new PerformanceObserver(list => done(list.getEntriesByName('first-contentful-paint')[0].startTime))
  .observe({type: 'paint', buffered: true}))"""
# From the top to the end at three screens a second or so, and how long each frame took.
SCROLL = """new Promise(done => {
  const frames = []; let before = performance.now();
  const step = now => {
    frames.push(now - before); before = now;
    const at = scrollY; scrollBy({top: 48, behavior: 'instant'});
    scrollY > at ? requestAnimationFrame(step) : done(frames.slice(1));
  };
  requestAnimationFrame(step);
})"""
# A filter, from the click until what follows is drawn.
FILTER = """new Promise(done => {
  const began = performance.now();
  document.querySelector('.filter.verified').click();
  requestAnimationFrame(() => setTimeout(() => done(performance.now() - began)));
})"""
OPEN = """new Promise(done => {
  const began = performance.now();
  document.querySelector('.tile summary').click();
  requestAnimationFrame(() => setTimeout(() => done(performance.now() - began)));
})"""


def main(clusters: int) -> None:
    """Measure, and print a table; milliseconds, the middle of several rounds."""
    report = reports.large(clusters)
    began = process_time()
    text = render(report)
    rows: list[tuple[str, str]] = [
        (f"making the page of {clusters:,} clusters, CPU", f"{(process_time() - began) * 1e3:.0f} ms"),
        ("its size", f"{len(text) / 1e6:.1f} MB"),
    ]
    with tempfile.TemporaryDirectory() as folder, Chromium() as browser:
        path = Path(folder) / "page.html"
        path.write_text(text)
        rounds = [_measured(browser, path.as_uri()) for _ in range(ROUNDS)]
    rows.append(("elements", f"{rounds[0]['elements']:,}"))
    for name in ("first paint", "loaded", "a filter", "opening a cluster"):
        rows.append((name, f"{median(found[name] for found in rounds):.0f} ms"))
    frames = sorted(frame for found in rounds for frame in found["frames"])
    rows += [
        (f"scrolling, {len(frames):,} frames: the middle one", f"{median(frames):.1f} ms"),
        ("  95 of 100 are below", f"{frames[int(len(frames) * 0.95)]:.1f} ms"),
        ("  the longest", f"{frames[-1]:.1f} ms"),
    ]
    print(table(rows, ("WHAT", "MEASURED")))


def _measured(browser: Chromium, address: str) -> dict[str, Any]:
    page = browser.open(address)
    found = {
        "elements": page.run("document.querySelectorAll('*').length"),
        "first paint": page.run(PAINT),
        "loaded": page.run(NAVIGATION)["loadEventEnd"],
        "frames": page.run(SCROLL),
        "a filter": page.run(FILTER),
        "opening a cluster": page.run(OPEN),
    }
    page.close()
    return found


if __name__ == "__main__":
    main(int(sys.argv[1]) if sys.argv[1:] else 1000)

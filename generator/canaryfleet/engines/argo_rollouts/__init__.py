"""Argo Rollouts: rollout.py makes the Rollout, analysis.py its analyses, validate/ judges the result; course.py reads
how a release goes through a cluster; ignored.py says what a GitOps tool must not undo; observe.py reads what the
controller did, reduce.py what of it may be recorded.

Each is imported by its name: whoever reads a status or a plan needs neither the renderer nor validate/.
"""

WINDOW = "window"  # the argument of an analysis that says how far back it looks
ENDLESS = 1_000_000_000  # inconclusive measurements of a metric that has no end

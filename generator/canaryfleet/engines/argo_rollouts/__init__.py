"""Argo Rollouts: rollout.py makes the Rollout, analysis.py its analyses, validate/ judges the result;
observe.py reads what the controller did, reduce.py what of it may be recorded.

validate/ is a third of it all, and whoever only reads a status needs none: it is imported by its name.
"""

from canaryfleet.engines.argo_rollouts.rollout import Identity, Rendered, check, render

__all__ = ["Identity", "Rendered", "check", "render"]

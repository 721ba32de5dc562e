"""Argo Rollouts: rollout.py makes the Rollout, analysis.py its analyses, validate/ judges the result."""

from canaryfleet.engines.argo_rollouts.rollout import Identity, Rendered, check, render
from canaryfleet.engines.argo_rollouts.validate import malformed, validate

__all__ = ["Identity", "Rendered", "check", "malformed", "render", "validate"]

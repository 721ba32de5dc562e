"""canaryfleet: progressive delivery across a fleet of clusters, by GitOps."""

__version__ = "0.1.0"

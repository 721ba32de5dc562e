"""Routers: what splits the traffic. One module each; Gateway API will stand beside Istio."""

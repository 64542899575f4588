"""Deployments by the hour: made, followed, taken away."""

"""Adapters: what one is, its manifest, its names, its signature, and the ports to where it lives."""

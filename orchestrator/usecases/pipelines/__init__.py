"""Spec files: planned, applied, resumed, summed up, exported."""

"""Graders of the API: from one answer of a model to a reward."""

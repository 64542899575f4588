"""Graders turn an answer into a score; metrics turn scores into a number."""

"""Rendering: terminal, JSON, Markdown and HTML."""

"""Spec files: reading YAML, TOML and JSON with every mistake's place, and writing first ones."""

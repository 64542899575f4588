"""Executors: where trainers run, behind one port."""

"""Engines: ways to train a job, behind one function; chosen by name, imported when named."""

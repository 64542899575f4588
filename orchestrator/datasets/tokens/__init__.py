"""Tokens: counted as the host counts them, and shown as the model sees them."""

"""Chats answered: one thread, one batch, many adapters."""

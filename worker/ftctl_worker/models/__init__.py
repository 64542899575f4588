"""Base models and what was trained over them: found, loaded, fitted with adapters, exported."""

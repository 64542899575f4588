"""ftctl: a provider-agnostic job manager for fine-tuning language models."""

__version__ = "0.1.0"

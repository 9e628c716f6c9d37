"""Transformers whose circuit is known by construction: what the project's verdicts are held against."""

"""Transformers whose circuit is known by construction, to hold verdicts against."""

"""How often verdicts are wrong on transformers whose circuit is known by construction."""

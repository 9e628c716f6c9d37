"""Statistics on plain arrays: no claim, no circuit and no model is known here."""

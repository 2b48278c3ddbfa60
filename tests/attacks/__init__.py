"""Attacks and abuse: each a named test, on the embedded ledger; docs/attacks.md is their table."""

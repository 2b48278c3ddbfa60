"""How long the settlement of a large round takes to endorse."""

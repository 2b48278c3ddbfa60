"""What an organisation runs to take part."""

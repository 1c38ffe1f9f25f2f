"""Label formats of other tools."""

"""Images in folders: audit, splits, sources."""

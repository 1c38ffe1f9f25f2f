"""The studio: a page in the browser on which a person draws defects, looks, and keeps the good."""

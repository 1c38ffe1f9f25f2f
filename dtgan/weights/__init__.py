"""Published weights: reading, writing, converting."""

"""Pages for people: a run, its evaluation, its set and its verdict as one HTML file."""

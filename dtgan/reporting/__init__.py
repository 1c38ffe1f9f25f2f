"""Tables and intervals that several reports share."""

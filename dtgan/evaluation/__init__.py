"""From a checkpoint to a report: what is measured, on which images, and how it is told."""

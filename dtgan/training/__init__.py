"""The training loop, its compiled programs, and what can be known of a step beforehand."""

"""Learning problems whose target is the law of a spike train: a teacher fires, a student learns its probabilities."""

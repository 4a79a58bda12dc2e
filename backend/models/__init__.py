"""Which models there are, how they are made, loaded and changed. Knows nothing of screens or of training loops."""

"""Training: the trainer, batching, losses, checkpoints. Knows nothing of screens."""

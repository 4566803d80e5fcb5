"""Training: a seed of any model, over all folds."""

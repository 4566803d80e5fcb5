"""Trained models, as a live session runs them."""

"""One process each, thin."""

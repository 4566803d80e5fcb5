"""One file a kind of output."""

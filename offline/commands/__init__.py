"""The commands: `python -m offline.NAME` and `merealtime NAME`."""

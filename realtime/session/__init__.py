"""The session folder: what a recording session leaves on disk."""

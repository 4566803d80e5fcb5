"""Cameras by their vendors' GenTL producers."""

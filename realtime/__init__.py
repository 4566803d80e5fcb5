"""Live spotting and recognition of micro-expressions."""

__version__ = "0.2.0"

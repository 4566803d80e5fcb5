"""Shared memory, messages, sockets, logs."""

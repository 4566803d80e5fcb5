"""What crosses processes: frames and counters in shared memory, messages on sockets."""

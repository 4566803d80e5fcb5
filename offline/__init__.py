"""Training, validation and benchmarks on recorded data."""

"""Pure functions on arrays; knows no process and no socket."""

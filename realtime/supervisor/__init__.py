"""What runs in the parent: start, watch, restart, account, log, clean up."""

from realtime.supervisor.supervisor import Supervisor

__all__ = ["Supervisor"]

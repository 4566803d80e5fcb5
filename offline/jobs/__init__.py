"""Many jobs, on this machine or on a Ray cluster: what `offline.sweep` and the archive of `offline.spot` run on.

A job (`Job`) names a function and its arguments; the function writes its result itself, whole or not at all, and
returns a few words. `run_jobs` runs what is not done; `shard` cuts a list for job arrays.
"""

from offline.jobs.job import Job, Outcome, Summary, content_digest, shard
from offline.jobs.options import add_options, check_options
from offline.jobs.progress import Bar, Standing
from offline.jobs.runner import run_jobs

__all__ = [
    "Bar",
    "Job",
    "Outcome",
    "Standing",
    "Summary",
    "add_options",
    "check_options",
    "content_digest",
    "run_jobs",
    "shard",
]

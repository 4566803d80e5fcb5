"""Sweeps: data sets × models × protocols × seeds as jobs (`offline.jobs`), joined to runs and one table."""

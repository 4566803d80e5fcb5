"""Judging: splits, metrics, results on disk, comparison, reports."""

"""Benchmarks: measured as the command line runs."""

from dreamvid import tune_process

tune_process()

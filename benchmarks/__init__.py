"""Timings of path patching: the engines of this project against other ways to do the same.

Not shipped with the package. `python -m benchmarks` runs everything; README.md says what each
number means.
"""

"""One thread for all tests: on small models several threads are slower, and much slower when the
machine is busy. Tests of a large model ask for more."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

"""Several test processes share the cores: one thread each, before torch and OpenMP start theirs."""

import os

if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")

"""Settings for all tests."""

import os

# Several test processes share the cores: a second thread of numpy's only waits, and keeps others
# waiting (measured: four times slower). Read when numpy is imported, which is later.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

"""Settings for the training side's tests."""

import torch

# Tensors here are tiny: a second thread only waits, above all with several test processes.
torch.set_num_threads(1)

"""Where models run."""

import torch


def best_device() -> torch.device:
    """The accelerator of this machine where there is one, else the processor."""
    found = torch.accelerator.current_accelerator(check_available=True)
    return found or torch.device("cpu")

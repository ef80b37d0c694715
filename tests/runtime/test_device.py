"""Choosing a device, and what is asked of it."""

import pytest
import torch

from dreamvid.errors import DeviceError
from dreamvid.runtime.device import missing_capability, resolve_device


def test_a_cpu_lacks_nothing() -> None:
    assert missing_capability(torch.device("cpu")) is None


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_a_gpu_lacks_nothing() -> None:
    assert missing_capability(torch.device("cuda")) is None


def test_a_device_without_values_is_found_out() -> None:
    what = missing_capability(torch.device("meta"))
    assert what is not None
    assert what.startswith("a convolution's gradient: ")


@pytest.mark.skipif(torch.backends.mps.is_available(), reason="a Mac with Metal")
def test_metal_that_is_not_there_is_said() -> None:
    with pytest.raises(DeviceError, match=r"no Metal device\. Allowed here: auto, cpu"):
        resolve_device("mps")


def test_auto_is_a_device_that_can() -> None:
    assert missing_capability(resolve_device("auto")) is None

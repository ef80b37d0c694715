"""Compile CUDA C when it is needed, and launch its kernels on PyTorch's tensors and streams.

The compiler is NVRTC, which needs no other one. PyTorch's wheels for Linux bring it, and since 2.10 its bindings for
Python too (package cuda-bindings).
"""

import ctypes
from collections.abc import Mapping
from functools import cache
from typing import Any

import torch
from torch import Tensor

# Threads in a block. Enough for kernels whose threads do not talk to one another.
_BLOCK = 128


class CompileError(Exception):
    """Kernels cannot be had: no NVRTC, no bindings, or a source that this NVRTC refuses."""


class Kernels:
    """The kernels of a CUDA C source on one device.

    source: its kernels are `extern "C"`, and their arguments pointers and ints. constants: macros for it; a float is
    one of single precision. Raises CompileError.
    """

    def __init__(self, source: str, constants: Mapping[str, float], device: torch.device) -> None:
        self._device = device
        capability = torch.cuda.get_device_capability(device)
        binary = compile_kernels(source, constants, capability)
        with torch.cuda.device(device):
            torch.zeros((), device=device)  # makes PyTorch's context the one of this thread
            driver = _bindings()[0]
            self._module = _checked(driver.cuModuleLoadData(binary))
            self._function = cache(lambda name: _checked(driver.cuModuleGetFunction(self._module, name.encode())))

    def launch(self, name: str, threads: int, images: int, *arguments: Tensor | int) -> None:
        """Run a kernel on the current stream: at least so many threads for each image (`blockIdx.y`).

        A tensor is handed over as the address of its values, so it has to be contiguous.
        """
        driver = _bindings()[0]
        values = tuple(each if isinstance(each, int) else each.data_ptr() for each in arguments)
        kinds = tuple(ctypes.c_int if isinstance(each, int) else ctypes.c_void_p for each in arguments)
        with torch.cuda.device(self._device):
            stream = driver.CUstream(torch.cuda.current_stream(self._device).cuda_stream)
            grid, block = (-(-threads // _BLOCK), images, 1), (_BLOCK, 1, 1)
            _checked(driver.cuLaunchKernel(self._function(name), *grid, *block, 0, stream, (values, kinds), 0))


def compile_kernels(source: str, constants: Mapping[str, float], capability: tuple[int, int]) -> bytes:
    """Compile CUDA C for devices of a compute capability; no device is needed. Raises CompileError."""
    nvrtc = _bindings()[1]
    options = [f"--gpu-architecture=sm_{capability[0]}{capability[1]}"]
    options += [f"-D{name}={value}" + "f" * isinstance(value, float) for name, value in constants.items()]
    program = _checked(nvrtc.nvrtcCreateProgram(source.encode(), b"dreamvid.cu", 0, [], []))
    try:
        (result,) = nvrtc.nvrtcCompileProgram(program, len(options), [option.encode() for option in options])
        if result:
            log = b" " * _checked(nvrtc.nvrtcGetProgramLogSize(program))
            nvrtc.nvrtcGetProgramLog(program, log)
            raise CompileError(log.rstrip(b"\0").decode(errors="replace").strip())
        binary = b" " * _checked(nvrtc.nvrtcGetCUBINSize(program))
        _checked(nvrtc.nvrtcGetCUBIN(program, binary))
    finally:
        nvrtc.nvrtcDestroyProgram(program)
    return bytes(binary)


@cache
def _bindings() -> tuple[Any, Any]:
    """Import the bindings of CUDA's driver and of NVRTC. Raises CompileError."""
    try:
        from cuda.bindings import driver, nvrtc

        _checked(nvrtc.nvrtcVersion())  # loads the library
    except (ImportError, OSError, RuntimeError) as error:
        raise CompileError(str(error)) from error
    return driver, nvrtc


def _checked(answer: tuple[Any, ...]) -> Any:
    """Return what a function of the bindings returned besides its result. Raises CompileError if that is an error."""
    result, *values = answer
    if result:
        raise CompileError(f"{result.name}")
    return values[-1] if values else None

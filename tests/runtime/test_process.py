"""A library leaves its process alone; the command line tunes it."""

import ctypes
import json
import os
import subprocess
import sys

import pytest
import torch

import dreamvid
from dreamvid.cli.app import main
from dreamvid.runtime import process
from dreamvid.runtime.device import configure_backend

# Libraries first: OpenCV sets variables of its own when it is imported.
_STATE = """
import json, os, signal, tempfile, warnings
import cv2, numpy, torch, torchvision

def state():
    cudnn, cuda = torch.backends.cudnn, torch.backends.cuda.matmul
    return {
        "environment": dict(os.environ),
        "flags": [cudnn.enabled, cudnn.benchmark, cudnn.deterministic, cudnn.allow_tf32, cuda.allow_tf32],
        "matmul": torch.get_float32_matmul_precision(),
        "threads": [torch.get_num_threads(), torch.get_num_interop_threads(), cv2.getNumThreads()],
        "modes": [torch.is_grad_enabled(), torch.are_deterministic_algorithms_enabled(), torch.backends.mkldnn.enabled],
        "dtype": str(torch.get_default_dtype()),
        "random": [torch.get_rng_state().sum().item(), int(numpy.random.get_state()[1].sum())],
        "signals": [str(signal.getsignal(number)) for number in (signal.SIGINT, signal.SIGTERM)],
        "warnings": [str(entry) for entry in warnings.filters],
    }

before = state()
import dreamvid
imported = state()
settings = dreamvid.load_settings(octaves=1, iterations=1, dream_height=32, objective="blocks.1.0")
dreamvid.dream_image(numpy.zeros((48, 64, 3), numpy.uint8), settings)
dreamvid.dream_video("lavfi:testsrc2=s=64x48:d=0.2", tempfile.mkdtemp() + "/dream.mp4", settings)
print(json.dumps([before, imported, state()]))
"""
_NAMES = ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")


def test_importing_and_using_it_changes_nothing_in_the_process() -> None:
    environment = {name: value for name, value in os.environ.items() if name not in _NAMES}
    done = subprocess.run([sys.executable, "-c", _STATE], env=environment, capture_output=True, text=True, check=True)
    before, imported, used = json.loads(done.stdout)
    assert imported == before
    assert used == before


@pytest.mark.parametrize(
    ("given", "expected"),
    [({}, "10000"), ({"GOMP_SPINCOUNT": "7"}, "7"), ({"OMP_WAIT_POLICY": "passive"}, None)],
)
def test_the_command_line_tunes_it_and_respects_what_is_set(
    given: dict[str, str], expected: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in _NAMES:
        monkeypatch.delenv(name, raising=False)
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    assert main(["--version"]) == 0
    assert os.environ.get("GOMP_SPINCOUNT") == expected


def test_a_library_user_may_call_it(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in _NAMES:
        monkeypatch.delenv(name, raising=False)
    dreamvid.tune_process()
    assert os.environ["GOMP_SPINCOUNT"] == "10000"


@pytest.mark.parametrize("tuned", [False, True])
def test_matrix_products_are_only_rounded_in_a_tuned_process(tuned: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "_tuned", tuned)
    matmul = torch.backends.cuda.matmul
    assert not matmul.allow_tf32, "PyTorch's default"
    try:
        configure_backend(torch.device("cuda"))  # sets a flag, needs no GPU
        assert matmul.allow_tf32 is tuned
    finally:
        matmul.allow_tf32 = False


def test_a_process_that_ends_does_first_what_others_rely_on() -> None:
    code = """
import atexit, sys, threading, time
from dreamvid.runtime.process import exit_process

class Kept:
    def __del__(self):
        print("taken apart")

kept = Kept()
atexit.register(print, "registered")
threading.Thread(target=lambda: (time.sleep(0.2), print("thread")), daemon=False).start()
threading.Thread(target=time.sleep, args=(60,), daemon=True).start()
sys.stderr.write("not a line")
print("last")
exit_process(7)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30)
    assert done.returncode == 7
    assert done.stdout.splitlines() == ["last", "thread", "registered"]
    assert done.stderr == "not a line"


def test_the_program_ends_with_its_exit_code_and_all_of_its_output() -> None:
    for arguments, code in ((["--version"], 0), (["run", "missing.mp4"], 2)):
        done = subprocess.run([sys.executable, "-m", "dreamvid", *arguments], capture_output=True, text=True)
        assert done.returncode == code
        assert done.stdout + done.stderr


def test_an_idle_pool_of_threads_does_not_keep_a_process_from_ending() -> None:
    """A library may have made one, which nobody shuts down."""
    program = (
        "from concurrent.futures import ThreadPoolExecutor\n"
        "from dreamvid.runtime.process import exit_process\n"
        "pool = ThreadPoolExecutor(2)\n"
        "pool.submit(print, 'done').result()\n"
        "exit_process(3)\n"
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert (ended.returncode, ended.stdout.strip()) == (3, "done")


MAPPED = """
import ctypes
from dreamvid.runtime.process import mapped_memory, tune_malloc

class Info(ctypes.Structure):
    _fields_ = [(name, ctypes.c_size_t) for name in "arena o s h mapped u f used free keep".split()]

libc = ctypes.CDLL(None)
libc.mallinfo2.restype, libc.malloc.restype = Info, ctypes.c_void_p

def maps_blocks():
    before = libc.mallinfo2().mapped
    for _ in range(100):
        libc.malloc(ctypes.c_size_t(2**20))
    return libc.mallinfo2().mapped >= before + 50 * 2**20

found = []
for tune in (False, True):
    if tune:
        tune_malloc()
    found.append(maps_blocks())
    with mapped_memory():
        found.append(maps_blocks())
    found.append(maps_blocks())
print(found)
"""


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "mallinfo2"), reason="needs glibc")
def test_a_first_run_takes_its_memory_from_the_system() -> None:
    """Blocks that find no place are mapped until malloc is tuned; then only within the context."""
    printed = subprocess.run([sys.executable, "-c", MAPPED], check=True, capture_output=True, text=True).stdout
    assert json.loads(printed.lower()) == [True, True, True, False, True, False]


PEAK = """
import subprocess, sys
held = bytes(b"x" * (300 * 2**20))
more = "held = b'x' * (100 * 2**20); " if sys.argv[1] == "more" else ""
code = f"from dreamvid.runtime.process import peak_memory; {more}print(peak_memory())"
print(subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="the peak of memory is not read there")
def test_the_peak_of_memory_is_the_own_one_and_not_that_of_the_process_before() -> None:
    """A program that a large one starts has held little, and then what it takes itself."""
    little, more = (
        int(subprocess.run([sys.executable, "-c", PEAK, words], check=True, capture_output=True, text=True).stdout)
        for words in ("little", "more")
    )
    assert 2**20 < little < 100 * 2**20
    assert 95 * 2**20 < more - little < 130 * 2**20

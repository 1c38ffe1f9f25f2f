"""Eight virtual CPU devices, strict ranks, one compilation cache for all tests of a session."""

import ctypes
import gc
import os
import pathlib
import sys

ROOT = pathlib.Path(__file__).resolve().parents[1]

# Before JAX starts. Compilation is most of the suite's time; level 0 halves it, and without fusion
# emitters it takes a third of what is left. Without them, though, products and sums are contracted
# where the instruction set can; AVX cannot, so that results stay equal to the bit where they were.
TEST_XLA_FLAGS = (
    "--xla_backend_optimization_level=0 --xla_cpu_use_fusion_emitters=false --xla_cpu_max_isa=AVX"
)
BASE_XLA_FLAGS = os.environ.get("XLA_FLAGS", "")
os.environ["XLA_FLAGS"] = (
    f"{BASE_XLA_FLAGS} {TEST_XLA_FLAGS} --xla_force_host_platform_device_count=8"
)
os.environ.setdefault("JAX_PLATFORMS", "cpu")

import hypothesis  # noqa: E402
import jax  # noqa: E402
import pytest  # noqa: E402
from absl import flags  # noqa: E402

jax.config.update("jax_numpy_rank_promotion", "raise")
# The same examples in every run, however slow the machine is.
hypothesis.settings.register_profile("dtgan", deadline=None, derandomize=True, max_examples=60)
hypothesis.settings.load_profile("dtgan")
flags.FLAGS.mark_as_parsed()
sys.path.insert(0, str(ROOT))  # configs/

from dtgan.nn import platforms  # noqa: E402
from tests.workers import once  # noqa: E402

platforms.target.set_global("cpu")  # for tests' own programs; runs and exports name theirs


def pytest_addoption(parser):
    parser.addoption(
        "--kill_trials", type=int, default=1, help="SIGKILL-and-resume trials of test_resume.py"
    )


def pytest_collection_finish():
    """Spare the garbage collector what the imports made: its passes took 7 % of test_cyclegan."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 10, 10)


@pytest.fixture(scope="session")
def shared(tmp_path_factory):
    """A directory for what all workers of pytest-xdist use."""
    own = tmp_path_factory.getbasetemp()
    return own.parent if os.environ.get("PYTEST_XDIST_WORKER") else own


@pytest.fixture(scope="session", autouse=True)
def compilation_cache(shared):
    """Programs compiled once serve all tests, workers and the processes that tests start."""
    path = shared / "xla"
    jax.config.update("jax_compilation_cache_dir", str(path))
    return path


def resident():
    """The memory of this process in bytes."""
    pages = int(pathlib.Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


@pytest.fixture(scope="module", autouse=True)
def freed():
    """Forget a large module's programs; a process that keeps those of all grows to 6 GB."""
    yield
    if sys.platform == "linux" and resident() > 1.5e9:
        jax.clear_caches()
        gc.collect()
        ctypes.CDLL(None).malloc_trim(0)


@pytest.fixture(scope="session")
def run_main(compilation_cache):
    """Start `python -m dtgan.main` as a user would: run_main(args, devices=1) -> Popen."""
    import subprocess

    def start(*args, devices=1, module="dtgan.main"):
        count = f"--xla_force_host_platform_device_count={devices}"
        env = os.environ | {
            "XLA_FLAGS": f"{BASE_XLA_FLAGS} {TEST_XLA_FLAGS} {count}",
            "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        }
        cache = [f"--compilation_cache={compilation_cache}"] if module == "dtgan.main" else []
        return subprocess.Popen(
            [sys.executable, "-m", module, *cache, *args],
            cwd=ROOT,
            env=env,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )

    return start


@pytest.fixture(scope="session")
def smoke_run(run_main, shared):
    """The workdir of a run of the smoke config: 4 steps, checkpoints at 2 and 4. Beside it, what
    the run printed, as `smoke run.log`."""
    workdir = shared / "smoke run"
    with once(workdir) as first:
        if first:
            process = run_main("--config=tests/smoke.py", f"--workdir={workdir}")
            output, _ = process.communicate(timeout=300)
            assert process.returncode == 0, output
            workdir.with_suffix(".log").write_text(output)
    return workdir

"""One mesh axis `data` over all devices of all hosts: parameters replicated, batches split."""

import threading

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

_STARTING = threading.Lock()  # threads that reach a new program at once would each compile it


def make_mesh(devices=None) -> Mesh:
    """Make a one-axis mesh. Auto axes: with Explicit ones gathers over the batch axis raise."""
    devices = devices or jax.devices()
    return jax.make_mesh((len(devices),), ("data",), axis_types=(AxisType.Auto,), devices=devices)


def replicated(mesh):
    """Return the sharding of parameters and scalars: whole on every device."""
    return NamedSharding(mesh, PartitionSpec())


def split(mesh):
    """Return the sharding of batches: the leading axis is split over devices."""
    return NamedSharding(mesh, PartitionSpec("data"))


def put_batch(batch, mesh):
    """Put this process's rows {name: array [b, ...]} into global arrays over the mesh."""
    sharding = split(mesh)
    return {k: jax.make_array_from_process_local_data(sharding, v) for k, v in batch.items()}


def map_rows(program, rows, mesh, batch_size):
    """Apply a jitted function to rows {name: uint8 or other array [N, ...]} in batches.

    program: {name: [B, ...]} -> {name: array [B, ...]}, both split over the devices of `mesh`. B is
    batch_size, rounded up to a multiple of the number of devices, however many rows there are: one
    program serves all; the last batch is padded with zeros. Safe to use from several threads.
    Yields {name: NumPy array} of at most batch_size rows; for N = 0 one result without rows, so
    that callers still learn names and shapes.
    """
    count, devices = len(next(iter(rows.values()))), mesh.devices.size
    batch_size = -(-max(batch_size, 1) // devices) * devices
    for start in range(0, max(count, 1), batch_size):
        batch = {name: array[start : start + batch_size] for name, array in rows.items()}
        here = min(batch_size, count - start)
        padded = {
            name: np.pad(array, [(0, batch_size - here)] + [(0, 0)] * (array.ndim - 1))
            for name, array in batch.items()
        }
        with _STARTING:
            out = program(put_batch(padded, mesh))
        out = jax.device_get(out)
        yield {name: np.asarray(array)[:here] for name, array in out.items()}


def initialize_distributed(coordinator="", num_processes=0, process_id=-1):
    """Join the processes of one job.

    With an address all three are given by the user; without, JAX asks the cluster (SLURM, TPU pod,
    GKE). Call before anything touches a device.
    """
    if coordinator:
        jax.distributed.initialize(coordinator, num_processes, process_id)
    else:
        jax.distributed.initialize()


def is_lead():
    """Tell whether this process writes logs, grids and configs."""
    return jax.process_index() == 0

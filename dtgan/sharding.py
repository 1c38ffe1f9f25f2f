"""One mesh axis `data` over all devices of all hosts: parameters replicated, batches split."""

import jax
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec


def make_mesh(devices=None) -> Mesh:
    """A one-axis mesh. Auto axes: with Explicit ones gathers over the batch axis raise."""
    devices = devices or jax.devices()
    return jax.make_mesh((len(devices),), ("data",), axis_types=(AxisType.Auto,), devices=devices)


def replicated(mesh):
    """Sharding of parameters and scalars: whole on every device."""
    return NamedSharding(mesh, PartitionSpec())


def split(mesh):
    """Sharding of batches: the leading axis is cut over devices."""
    return NamedSharding(mesh, PartitionSpec("data"))


def put_batch(batch, mesh):
    """This process's rows {name: array [b, ...]} -> global arrays over the mesh."""
    sharding = split(mesh)
    return {k: jax.make_array_from_process_local_data(sharding, v) for k, v in batch.items()}


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
    """Whether this process writes logs, grids and configs."""
    return jax.process_index() == 0

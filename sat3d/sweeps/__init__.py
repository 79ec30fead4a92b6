"""Sweeps: one file in W&B's format, searched by W&B's agents or, without an account, here with Optuna."""

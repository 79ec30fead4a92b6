"""`sat3d compare`: methods at an equal change of the target (docs/comparison.md); `compare` does the whole of it."""

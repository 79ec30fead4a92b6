"""What `sat3d doctor` looks at: one file a subject, each with `check()`, which yields findings."""

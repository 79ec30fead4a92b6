"""The verbs of the command line, one file each; `sat3d.cli` is the door to them."""

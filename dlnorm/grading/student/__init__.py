"""What travels with an assignment: `checker.py`, a module that needs NumPy and nothing else."""

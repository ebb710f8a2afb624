"""Cluster files: what is wrong with them, and the commands of Ray, kubectl and Slurm that use them."""

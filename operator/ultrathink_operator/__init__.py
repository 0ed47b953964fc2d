"""The operator: keeps each UltraThinkJob's cluster, copies its progress, and is needed for nothing else."""

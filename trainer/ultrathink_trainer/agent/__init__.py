"""The first process of a worker pod, on a laptop the supervisor's child: keeps the zygote, forks and watches ranks."""

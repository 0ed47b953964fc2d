"""What supervisor, agent, zygote and driver share: processes that die together, lines, Ray's command line."""

"""Plans as local processes: a development runtime. One pod is a group of processes that share folders."""

"""What params.yaml holds, where things live, and how a stage meets files, terminal and machine."""

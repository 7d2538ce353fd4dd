"""What runs a workflow. `local` runs it in this process, on the workflow store of the home."""

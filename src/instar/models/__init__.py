"""Language models, and what answers when there is none."""

"""Ways to talk to the agent. Each channel is a folder or file of its own and knows no other."""

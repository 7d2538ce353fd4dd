"""instar: a runtime for conversational AI agents whose state can move."""

"""Conversations: ordered exchanges, one per channel."""

"""Profiles: what is known of each person."""

"""Durable work: workflows whose finished steps survive the process that ran them."""

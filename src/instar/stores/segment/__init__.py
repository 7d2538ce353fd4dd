"""The embedded engine: a write-ahead log and immutable Parquet segments, on plain files."""

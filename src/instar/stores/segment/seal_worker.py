"""The sealing process: jobs on stdin, answers on stdout, until stdin ends."""

from __future__ import annotations

import sys

from instar.stores.segment.seal import encoder, job_decoder, perform, read_message, write_message


def main() -> None:
    """Do jobs one after the other."""
    sys.modules["pandas"] = None  # type: ignore[assignment]  # pyarrow would load it where it is installed, for nothing
    while (message := read_message(sys.stdin.buffer)) is not None:
        write_message(sys.stdout.buffer, encoder.encode(perform(job_decoder.decode(message))))


if __name__ == "__main__":
    main()

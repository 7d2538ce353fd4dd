"""The sealing process: jobs on stdin, answers on stdout, until stdin ends."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from types import ModuleType

from instar.stores.segment.seal import encoder, job_decoder, perform, read_message, write_message


class _WithoutPandas:
    """pyarrow loads pandas where it is installed; here that is half a second for nothing."""

    @staticmethod
    def find_spec(name: str, _path: Sequence[str] | None, _target: ModuleType | None = None) -> None:
        if name == "pandas":
            raise ModuleNotFoundError(name)


def main() -> None:
    """Do jobs one after the other."""
    sys.meta_path.insert(0, _WithoutPandas)
    while (message := read_message(sys.stdin.buffer)) is not None:
        write_message(sys.stdout.buffer, encoder.encode(perform(job_decoder.decode(message))))


if __name__ == "__main__":
    main()
    # Every answer is flushed. Taking pyarrow's threads down in order now and then ends in an abort, with its
    # message on the user's terminal.
    os._exit(0)

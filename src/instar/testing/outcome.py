"""What a slow proof reports: `script/accept` prints one of these a line.

A proof is a function `run_xxx(seed: int, rounds: int) -> Outcome`.
The same seed and rounds give the same histories.
"""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """`held` is the verdict; `figure` says in words and numbers what was seen, or what broke first."""

    name: str
    rounds: int
    figure: str
    held: bool

    def __str__(self) -> str:
        """One line: `isolation  500 rounds  0 of 12,000 answers crossed  held`."""
        verdict = "held" if self.held else "BROKEN"
        return f"{self.name}  {self.rounds:,} rounds  {self.figure}  {verdict}"

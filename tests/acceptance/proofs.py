"""The slow proofs, by name, at full count. `script/accept` runs this; short versions run with the other tests."""

from __future__ import annotations

import argparse
import random
import sys
from collections.abc import Callable, Mapping
from typing import NamedTuple

from instar.testing.outcome import Outcome


class Proof(NamedTuple):
    """How a promise is proved: what is promised, what runs, and how often it runs when nobody says."""

    promise: str
    run: Callable[[int, int], Outcome]
    rounds: int


def crash_sim(seed: int, rounds: int) -> Outcome:
    from instar.testing.crash_histories import run_histories

    return run_histories(seed, rounds)


def turn_kills(seed: int, rounds: int) -> Outcome:
    from instar.testing.turn_kills import run_turn_kills

    return run_turn_kills(seed, rounds)


def isolation(seed: int, rounds: int) -> Outcome:
    from instar.testing.isolation import run_isolation

    return run_isolation(seed, rounds)


def forget(seed: int, rounds: int) -> Outcome:
    from instar.testing.erasures import run_erasures

    return run_erasures(seed, rounds)


def byte_flips(seed: int, rounds: int) -> Outcome:
    from instar.testing.byte_flips import run_byte_flips

    return run_byte_flips(seed, rounds)


def log_kills(seed: int, rounds: int) -> Outcome:
    from instar.testing.log_kills import run_log_kills

    return run_log_kills(seed, rounds)


PROOFS: Mapping[str, Proof] = {
    "crash-sim": Proof("what was acknowledged survives every simulated power loss", crash_sim, 100_000),
    "log-kills": Proof("what was acknowledged survives a writer killed on the real disk", log_kills, 500),
    "turn-kills": Proof("a killed turn is finished once, neither lost nor doubled", turn_kills, 500),
    "isolation": Proof("nobody is answered from another person's private words", isolation, 1_000),
    "forget": Proof("no byte of a forgotten person is left in the home", forget, 200),
    "byte-flips": Proof("a damaged byte is named, never read as data, and mended", byte_flips, 5_000),
}


def parser() -> argparse.ArgumentParser:
    reader = argparse.ArgumentParser(prog="script/accept", description=__doc__)
    reader.add_argument("names", nargs="*", metavar="NAME", help="which proofs; without names, all")
    reader.add_argument("--seed", type=int, help="repeat a run; without it, a new seed is drawn and printed")
    reader.add_argument("--rounds", type=positive, help="how often each proof runs, instead of its full count")
    reader.add_argument("--list", action="store_true", help="print the names and what they prove")
    return reader


def positive(text: str) -> int:
    rounds = int(text)
    if rounds < 1:
        raise argparse.ArgumentTypeError(f"{rounds} rounds prove nothing; give 1 or more")
    return rounds


def main(arguments: list[str]) -> int:
    reader = parser()
    asked = reader.parse_args(arguments)
    unknown = [name for name in asked.names if name not in PROOFS]
    if unknown:
        reader.error(f"no proof {', '.join(unknown)}; known are {', '.join(PROOFS)}")
    if asked.list:
        for name, proof in PROOFS.items():
            print(f"{name:<11} {proof.promise} ({proof.rounds:,} rounds)")
        return 0
    seed = random.SystemRandom().randrange(1 << 32) if asked.seed is None else asked.seed
    print(f"seed {seed}", file=sys.stderr)
    verdicts = [proved(name, seed, asked.rounds) for name in asked.names or PROOFS]
    return 0 if all(verdicts) else 1


def proved(name: str, seed: int, rounds: int | None) -> bool:
    proof = PROOFS[name]
    outcome = proof.run(seed, rounds or proof.rounds)
    print(outcome, flush=True)
    return outcome.held


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))

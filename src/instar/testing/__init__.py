"""For those who test on instar: contracts, clocks one can turn, slow proofs. Public, and exempt from the layers."""

"""Tables of one language each: what a statement about oneself, a question and a feeling look like in it.

`facts.py` and `emotion.py` hold the rules, these hold the words; a language is added by adding a table.
"""

# Daily work. `just` lists what there is.

_list:
    @just --list --unsorted

# What must hold: style, types, layers and tests
check *arguments:
    script/test {{ arguments }}

# Tests alone
test *arguments:
    script/setup test
    .venv/bin/pytest {{ arguments }}

# Mend what a machine can mend
fix:
    script/setup test
    .venv/bin/ruff check --fix .
    .venv/bin/ruff format .

# Measure beside peers; without names, list
bench *names:
    script/bench {{ names }}

# The slow proofs at full count
accept *arguments:
    script/accept {{ arguments }}

# Pin and hash every dependency anew
lock *arguments:
    script/lock {{ arguments }}

# Chat in the browser
serve *arguments:
    script/run {{ arguments }}

"""Contracts are part of the package; their assertions are shown as those of any test."""

import pytest

pytest.register_assert_rewrite("instar.stores.movable_contract")
for _port in ("conversations", "profiles", "memories", "workflows"):
    pytest.register_assert_rewrite(f"instar.stores.{_port}.contract")

"""The contract suite and the rig it runs on, for providers of this distribution and of others.

Needs pytest: `pip install "ftctl[testing]"`.
"""

from __future__ import annotations

import pytest

# Before the module is imported, so that a failed assertion says what was compared.
pytest.register_assert_rewrite("providers.testing.contract")

from providers.testing.contract import ProviderContract  # noqa: E402
from providers.testing.rig import KEY, Rig, profile, simulated, write_rows  # noqa: E402

__all__ = ["KEY", "ProviderContract", "Rig", "profile", "simulated", "write_rows"]

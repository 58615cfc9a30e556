"""A folded stack under another kernel version's names."""

from __future__ import annotations

from core_kit import priced

from sim.engine.ledger import IRQ, Ledger, version_stack


def test_symbols_are_renamed_by_what_calls_them() -> None:
    """A key of two symbols goes before that of one; a name of "" leaves the symbol out."""
    renamed = {"unlock_page": "folio_end_read", "unlock_page;folio_unlock": "", "folio_unlock": "other"}
    assert ("a;folio_end_read", True) == version_stack("a;unlock_page", renamed)
    assert ("a;folio_end_read", False) == version_stack("a;unlock_page;folio_unlock", renamed)
    assert ("a;other", True) == version_stack("a;folio_unlock", renamed)
    assert ("folio_unlock", False) == version_stack("folio_unlock", {"folio_unlock": ""})


def test_what_a_version_does_not_call_is_its_callers_time() -> None:
    """folio_unlock() costs 5 ns; where it is part of unlock_page(), there are its 5 ns and no call of it."""
    costs = priced(unlock_page=(2, 0), folio_unlock=(5, 0))
    for renamed, calls in (
        ({}, {"unlock_page": 3, "folio_unlock": 3}),
        ({"folio_unlock": ""}, {"unlock_page": 3}),
    ):
        ledger = Ledger(costs, renamed)
        assert 21_000 == ledger.site(IRQ, "", "unlock_page unlock_page;folio_unlock").charge(3)
        assert calls == ledger.calls()
        assert 21_000 == sum(row.ps for row in ledger.rows())

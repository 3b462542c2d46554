# Oracle: hand-written names; unknown methods go by what the user typed.
from sparsefire.search import names

GMP = {"kind": "sparse", "method": "gmp", "density": 0.05}


def test_one_candidate_has_four_spellings():
    assert names.method_name(GMP) == "gradual pruning"
    assert names.short_method(GMP) == "gmp"
    assert names.typed_name(GMP) == "gmp 0.05"
    assert names.at_density(GMP) == "gmp at 5%"
    assert names.with_percent(GMP) == "gmp 5%"


def test_kinds_that_are_no_method():
    assert names.typed_name({"kind": "narrow", "method": "narrow", "density": 0.2}) == "narrow dense 0.2"
    assert names.typed_name({"kind": "dense", "method": "dense", "density": 1.0}) == "dense"
    assert names.method_name({"kind": "boosting", "method": "boosting"}) == "gradient boosting"


def test_an_unknown_method_keeps_its_name():
    own = {"kind": "sparse", "method": "my-own", "density": 0.1}
    assert names.method_name(own) == "my-own"
    assert names.typed_name(own) == "my-own 0.1"

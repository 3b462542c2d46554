"""Random numbers from a counter: known answers, the accuracy of what is made of the words, and the laws."""

from __future__ import annotations

import numba
import numpy as np
import pytest
from scipy import stats

from sparsefire.convergence.simulation import _streams as streams
from sparsefire.convergence.simulation._invariant_kernels import chi_square
from sparsefire.convergence.simulation._streams import CODES, INPUTS, LANES

WORDS = np.empty((8, LANES), np.uint32)
SPARE = np.empty((8, LANES))
PI = (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344)


@numba.njit
def exponentials(out, words):
    for i in range(len(words)):
        out[i] = streams._exponential(words[i])


def drawn(law: str, rows: int, *, key: int = 7, first: int = 0, step: int = 3, filled: float = 0.1) -> np.ndarray:
    out = np.empty((streams.padded(rows), LANES))
    streams.draw(CODES[law], out, rows, filled, WORDS, SPARE, np.uint64(key), first, step, INPUTS)
    return out[:rows]


def philox(counter: tuple[int, ...], key: int) -> list[int]:
    """Philox 4×32-10 as the paper writes it, in Python's integers."""
    c, (k0, k1) = list(counter), (key & 0xFFFFFFFF, key >> 32)
    for _ in range(10):
        p0, p1 = c[0] * 0xD2511F53, c[2] * 0xCD9E8D57
        c = [(p1 >> 32) ^ c[1] ^ k0, p1 & 0xFFFFFFFF, (p0 >> 32) ^ c[3] ^ k1, p0 & 0xFFFFFFFF]
        k0, k1 = (k0 + 0x9E3779B9) & 0xFFFFFFFF, (k1 + 0xBB67AE85) & 0xFFFFFFFF
    return c


@pytest.mark.parametrize(
    ("counter", "key", "answer"),  # the vectors that come with the authors' library Random123
    [
        ((0, 0, 0, 0), 0, (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
        ((2**32 - 1,) * 4, 2**64 - 1, (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
        (PI, 0x299F31D0A4093822, (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1)),
    ],
)
def test_known_answers(counter: tuple[int, ...], key: int, answer: tuple[int, ...]) -> None:
    streams.philox(WORDS, np.uint64(key), *counter)
    assert tuple(WORDS[:4, 0]) == answer
    assert tuple(philox(counter, key)) == answer


def test_every_lane_is_the_run_of_its_number() -> None:
    streams.philox(WORDS, np.uint64(2**63 + 5), 1000, 2**31 + 7, 11, 3)
    for lane in range(LANES):
        assert WORDS[:4, lane].tolist() == philox((1000 + lane, 2**31 + 7, 11, 3), 2**63 + 5)


def edges() -> np.ndarray:
    """Words where formulas change, and others."""
    special = [0, 1, 2, 3, 2**16, 2**24, 2**31 - 1, 2**31, 0xB504F332, 0xB504F333, 2**32 - 2**8, 2**32 - 2, 2**32 - 1]
    return np.concatenate([special, np.random.default_rng(0).integers(0, 2**32, 200_000)]).astype(np.uint32)


def test_the_logarithm_is_exact_to_float32() -> None:
    words = edges()
    found = np.empty(len(words))
    exponentials(found, words)
    u = (words.astype(np.longdouble) + 0.5) / 2**32
    truth = np.where(u > 0.5, -np.log1p((words.astype(np.longdouble) + 0.5 - 2**32) / 2**32), -np.log(u))
    assert np.abs(found / truth - 1).max() < 2.5e-7
    assert found.min() > 0


def test_box_muller_is_exact_to_float32() -> None:
    words = edges()
    words = words[: len(words) // (4 * LANES) * 4 * LANES].reshape(-1, 4, LANES)
    words[1, 1] = words[0, 0]  # angles at the edges
    out, worst = np.empty((4, LANES)), 0.0
    for block in words:
        WORDS[:4] = block
        streams.box_muller(out, 0, WORDS)
        for pair in (0, 2):
            u, turn = (block[pair].astype(float) + 0.5) / 2**32, block[pair + 1]
            radius = np.sqrt(-2 * np.log(u)) * np.where(turn & 1, -1.0, 1.0)
            angle = ((turn.astype(np.uint32).view(np.int32) >> 1) + 0.5) * np.pi / 2**31
            truth = np.stack([radius * np.cos(angle), radius * np.sin(angle)])
            worst = max(worst, np.abs((out[pair : pair + 2] - truth) / radius).max())
    assert worst < 3.5e-7


def test_a_normal_number_is_a_normal_number() -> None:
    x = drawn("normal", 40_000).ravel()
    n, product = len(x), np.ones(len(x))
    for power in range(1, 9):
        product *= x
        moment = 0.0 if power % 2 else float(stats.norm.moment(power))
        spread = np.sqrt((stats.norm.moment(2 * power) - moment**2) / n)
        assert abs(product.mean() - moment) < 4 * spread, power
    assert stats.kstest(x[::4], "norm").pvalue > 1e-3
    for edge in (2.0, 3.0, 4.0, 4.4):  # both tails, beyond what rounding or too few bits would leave
        for count in ((x > edge).sum(), (x < -edge).sum()):
            assert abs(count - n * stats.norm.sf(edge)) < 4 * np.sqrt(n * stats.norm.sf(edge))
    assert abs((np.abs(x) < 1e-3).sum() - n * 2 * 1e-3 * stats.norm.pdf(0)) < 4 * np.sqrt(n * 8e-4)


def test_the_smallest_and_largest_words_give_the_ends_of_the_tail() -> None:
    out, words = np.empty((4, LANES)), np.zeros((8, LANES), np.uint32)
    streams.box_muller(out, 0, words)
    assert out[0, 0] == pytest.approx(np.sqrt(66 * np.log(2)), rel=1e-6)  # 6.76: 33 bits
    words[0] = 2**32 - 1
    streams.box_muller(out, 0, words)
    assert out[0, 0] == pytest.approx(np.sqrt(2.0**-32), rel=1e-6)


def test_numbers_are_independent_across_coordinates_steps_runs_and_purposes() -> None:
    a, b = drawn("normal", 4000, step=1), drawn("normal", 4000, step=2)
    others = {
        "pairs": (a[0::2], a[1::2]), "blocks": (a[:-4], a[4:]), "runs": (a[:, :-1], a[:, 1:]), "steps": (a, b),
        "squares": (a[0::2] ** 2 - 1, a[1::2] ** 2 - 1),
        "keys": (a, drawn("normal", 4000, step=1, key=8)),
        "far": (a, drawn("normal", 4000, step=1, first=LANES)),
    }  # fmt: skip
    out = np.empty((4000, LANES))
    streams.draw(CODES["normal"], out, 4000, 1.0, WORDS, SPARE, np.uint64(7), 0, 1, streams.DIRECTIONS)
    others["purposes"] = (a, out)
    for name, (x, y) in others.items():
        product = (x * y).ravel()
        assert abs(product.mean()) < 4 * product.std() / np.sqrt(len(product)), name
    lengths = (drawn("normal", 8000).reshape(-1, 8, LANES) ** 2).sum(axis=1).ravel()
    assert stats.kstest(lengths, "chi2", args=(8,)).pvalue > 1e-3


@pytest.mark.parametrize(
    ("law", "distribution"),
    [
        ("uniform", stats.uniform(-np.sqrt(3), 2 * np.sqrt(3))),
        ("laplace", stats.laplace(scale=np.sqrt(0.5))),
        ("student", stats.t(5, scale=np.sqrt(0.6))),
    ],
)
def test_continuous_laws(law: str, distribution) -> None:
    x = drawn(law, 8000).ravel()
    assert stats.kstest(x, distribution.cdf).pvalue > 1e-3
    assert abs((x**2).mean() - 1) < 4 * (x**2).std() / np.sqrt(len(x))
    if law != "student":  # whose eighth moment is infinite
        assert abs((x**4).mean() - distribution.moment(4)) < 4 * (x**4).std() / np.sqrt(len(x))


def test_signs_are_fair_and_independent() -> None:
    x = drawn("rademacher", 8000)
    assert set(np.unique(x)) == {-1.0, 1.0}
    for product in (x, x[1:] * x[:-1], x[32:] * x[:-32], x[128:] * x[:-128], x[:, 1:] * x[:, :-1]):
        assert abs(product.sum()) < 4 * np.sqrt(product.size)


def test_sparse_inputs_are_filled_by_chance_and_normal_where_they_are() -> None:
    x = drawn("sparse", 8000, filled=0.2).ravel()
    there = x[x != 0] * np.sqrt(0.2)
    assert abs(len(there) - 0.2 * len(x)) < 4 * np.sqrt(0.16 * len(x))
    assert stats.kstest(there, "norm").pvalue > 1e-3
    assert np.all(drawn("sparse", 8, filled=1.0) == drawn("sparse", 8, filled=1.0))
    assert np.all(drawn("sparse", 400, filled=1.0) != 0)


@pytest.mark.parametrize("rows", [1, 2, 3, 7])
def test_the_sphere_is_a_sphere(rows: int) -> None:
    x = np.stack([drawn("sphere", rows, step=step) for step in range(2000)], axis=1)
    np.testing.assert_allclose((x**2).sum(axis=0), rows, rtol=1e-13)
    truth = 3 * rows / (rows + 2)
    found = (x[0] ** 4).ravel()
    assert abs(found.mean() - truth) < 4 * found.std() / np.sqrt(found.size) + 1e-12
    assert abs(x[0].mean()) < 4 / np.sqrt(found.size)


def test_coordinates_are_all_alike() -> None:
    x = np.stack([drawn("coordinates", 5, step=step) for step in range(500)], axis=1)
    assert np.all((x != 0).sum(axis=0) == 1)
    np.testing.assert_allclose((x**2).sum(axis=0), 5, rtol=1e-14)
    counts = np.array([(x[row] > 0).sum() for row in range(5)] + [(x[row] < 0).sum() for row in range(5)])
    assert stats.chisquare(counts).pvalue > 1e-3


@pytest.mark.parametrize("law", sorted(set(CODES) - {"sphere", "coordinates"}))
def test_a_coordinate_is_the_same_however_many_are_asked_for(law: str) -> None:
    np.testing.assert_array_equal(drawn(law, 5), drawn(law, 140)[:5])


@pytest.mark.parametrize("degrees", [0, 1, 2, 3, 8, 99, 10_000])
def test_chi_square_numbers(degrees: int) -> None:
    found, out = [], np.empty(LANES)
    for step in range(1500):
        chi_square(out, degrees, WORDS, SPARE, np.uint64(11), 0, step, streams.CHI_SQUARE)
        found.append(out.copy())
    x = np.concatenate(found)
    if degrees == 0:
        assert np.all(x == 0)
        return
    assert stats.kstest(x, "chi2", args=(degrees,)).pvalue > 1e-3
    assert abs(x.mean() - degrees) < 4 * np.sqrt(2 * degrees / len(x))

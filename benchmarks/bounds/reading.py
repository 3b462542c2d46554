"""What the page says beside its tables."""

HEAD = """# How near single losses come to what they could tell

A learner is told one squared loss per sample, at a point of its own choosing, and never sees inputs or answers. How
much could it know at best, and does the rule that moves against noisy losses get there?

Linear regression, Y = X′θ* + ε, Q = I. The one-query rule ([arXiv:2311.03483](https://arxiv.org/abs/2311.03483))
reads L = (Y − X′(θ + cU))²/2 with signs U ∈ {±1}^d and takes the step −α (L − b) U/c. At the distance |cU| = σ a
query tells most where inputs and noise are normal; the bound is then 2σ²d²/k, and a running mean of the losses as
baseline b reaches it. What of other inputs and other noise? A query at θ* + v reads |e|, e = ε − X′v, with density
f_v; its Fisher information J = E ψ², ψ = ∂ log f_v(e)/∂ log |v|, is had by quadrature for every design
([`fisher_information`](../src/sparsefire/convergence/bounds/fisher.py)), and so is that design's own bound,

    k · E‖θ̂ − θ*‖²  ≥  d² |v|² / J        for estimators from queries at θ* + v, v ∈ c{±1}^d, adaptive or not.

With α_k ~ 1/k the rule has k · risk → d² Var(h)/|v|² where h is what it reads, its mean taken off and scaled to
E hψ = |v|². By Cauchy and Schwarz Var(h) ≥ |v|⁴/J: among all functions of |e| that it might read, the rule is at the
bound **if and only if it reads the score**, h = |v|² ψ(|e|)/J. The squared loss is the score if e is normal. The rest
of this page says how far off it is elsewhere.
"""

READING = """## In short

- **Does the running mean reach the bound when inputs are not normal? With normal noise nearly, with other noise no.**
  Exactly it does only where the residual is normal. For d = 10 and normal noise the limits are 1.01 (normal and ±1
  inputs), 1.02 (Student) and 1.02 (sparse), of which 1.0% is the noise of the average itself; simulated 1.04 [1.02,
  1.06], 1.04 [1.02, 1.06], 1.05 [1.02, 1.08] and 1.11 [1.09, 1.14] at k = 24,000. What is lost vanishes as d grows.
- **Laplace noise costs it a third, two-point noise two fifths.** Limits 1.35 and 1.42 with normal inputs at every d,
  and for all inputs as d → ∞; at d = 10 from 1.09 (sparse) to 1.67 (±1) under Laplace noise, simulated 1.20 [1.17,
  1.23] to 1.73 [1.70, 1.77].
- **The score reaches the bound**, as theory has it: 1.02 to 1.04 in seven of eleven places, 1.06 to 1.09 with sparse
  inputs, still on the way down. **It is late where it has jumps**: ±1 inputs under Laplace noise, 1.34 [1.31, 1.37]
  at k = 24,000 and 1.16 [1.11, 1.20] at 240,000.
- **No baseline and the previous loss stay as dear as they are for normal laws, or dearer**: limits 1.39 to 2.34 and
  2.00 to 3.31.
- **The bound itself is another one**: 0.53 times 2σ²d² (normal inputs, two-point noise) to 1.59 times (sparse inputs,
  Laplace noise).
- **Heavy tails: a squared loss lets runs escape.** Student inputs leave its mean risk infinite; of sparse inputs up
  to 5 in 2,048 runs diverged. Of 23,552 runs with the score none did: it is held constant from 12 standard deviations
  on.
- **Where to ask matters less than what to read**, with two exceptions: ±1 inputs can be read out of far queries, and
  two-point noise out of near ones.
"""

MAIN = """## Risk over the bound

![Risk over the bound](images/efficiency.svg)

d = 10, σ = 1, c² = σ²/d, α_k = 1/(k + 6d²), 2,048 runs from θ₀ = θ* to k = 24,000 (so that all of the risk is made by
noise; r_k = N k/(k + k₀)² then, and (k + k₀)²/k · r_k is what is shown), 95% intervals; readings share inputs and
noise. After the arrow: the limit by theory. *No baseline* b = 0, *previous loss* b = L_{k−1}, *running mean* an
exponential average with memory 0.02, which alone costs 1.0%; *score*: h in place of the loss.
"""

NOTES = """The row with a star is over 2σ²d²: ±1 inputs and two-point noise leave a residual of finitely many values
that move with v, so that one query with all its digits tells X′v. The information is infinite, and there is neither a
bound nor a score.

†: medians over runs, over the median of χ²_d/d that normal errors have, with intervals from order statistics. With
five degrees of freedom E X⁸ = ∞, so E L⁴ = ∞, and *the mean risk of a rule that reads squared losses is infinite from
its second step on*; the limit law of √k δ_k does not mind.
"""

TYPICAL = """### The typical run, and what the score saves

Medians in the same way for all designs; and the risk of the running mean over that of the score, runs resampled in
pairs (means; none for Student inputs, where there are none).
"""

DIMENSIONS = """## What the running mean costs

![The running mean against dimension](images/efficiency-dimension.svg)

The limit is J Var(L)/|v|⁴ · (1 + m/(2 − m)), m = 0.02, by quadrature. With normal noise X′v turns normal as d grows
and the loss of efficiency falls faster than 1/d. With other noise it stays: as d → ∞ all designs meet at the row of
normal inputs. Simulations at k = 240 d², where what is quadratic in the error still adds to the limit, most of all
for few sparse inputs.
"""

REWARDS = """## What to read instead

![Rewards](images/efficiency-rewards.svg)

h against |e|. Laplace noise wants large losses to count less, as every robust estimate does; two-point noise wants a
residual near σ to lower the estimate of |v| and one near 0 to raise it, as the noise is known up to its sign. Where
±1 inputs meet Laplace noise the density has a kink at every value that X′v can take, and the score a jump. h needs
the laws of inputs and noise and σ ([`score_reward`](../src/sparsefire/convergence/bounds/fisher.py) makes it); a
brain or a chip would have to learn it.
"""

RADIUS = """## Where to ask

![Information against distance](images/efficiency-information.svg)

Normal inputs and noise: σ² tr I = 2x/(1 + x)², x = |v|²/σ², ½ at most. ±1 inputs have a second regime: from far away
the values of X′v lie so far apart that e tells which of them it is, and σ² tr I goes to 1, twice the near maximum (to
2 for Laplace noise). The bound is then σ²d²/k instead of 2σ²d²/k. The squared loss gains nothing from that (its noise
grows with |v|); only the score of a distant query, a comb, would. With two-point noise a query tells the more the
nearer it is: at v → 0 the noise can be told by its sign and drops out, and the bound goes to 0.
"""

STEPS = """## How soon

![The approach to the bound](images/efficiency-steps.svg)

The score of ±1 inputs under Laplace noise jumps at every value of X′v, and an error δ blurs these jumps by X′δ. At
first, next to θ*, there is none; then the risk goes up to 1.34 times the bound, and from k = 10,000 on slowly down.
With normal inputs there are no jumps, and the bound is reached (0.99 [0.95, 1.03] at k = 113,000).
"""

LAW = """## Simulations against the recursion

The same risks, over what the recursion r ← r (1 − 2α) + α² E‖ĝ‖² says at k = 24,000, fourth moments of errors being
those of a normal law ([`scalar_risk`](../src/sparsefire/convergence/exact/constants.py)); its limit is what stands
after the arrows above.
"""

HOW = """## How it was done

`python benchmarks/efficiency.py` resumes where it was stopped (26 minutes in one process on a busy machine);
`--table` writes this page and its pictures, `--quick` tries it in a minute. Bounds are tested by closed forms, by two
independent quadratures, by enumeration and by Monte Carlo in `tests/convergence/bounds/test_fisher.py`; constants by
direct draws in `tests/convergence/exact/test_constants.py`.
"""

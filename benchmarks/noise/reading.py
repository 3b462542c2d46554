"""What the page says beside its tables."""

HEAD = """# The noise that learns also prunes

A rule that reads nothing but losses has to perturb its weights. On weights that are products of two factors these
perturbations are a penalty, that of the lasso: the noise that learns also prunes. How far does that go, against methods
that write the penalty down? That noise before the gradient is an explicit penalty, ℓ1 on products, is known
([arXiv:2206.04613](https://arxiv.org/abs/2206.04613)); formulas and their exact tests are in
`sparsefire.sparsity.noise` and `tests/sparsity/test_noise.py`.
"""

READING = """## In short

- **Linear models: yes.** Two queries on product weights end at the lasso whose λ is η². With 200 rows the risk is 1.03
  [1.01, 1.05] times that of the lasso for 200 weights and 1.07 [1.05, 1.09] times for 1,000, and the support is found
  (F1 1.00). Plain weights under the same rule, even when they are stopped where they are best, have 2 to 5 times the
  risk of products from 100 rows on for 200 weights, and 3 to 20 times for 1,000.
- **But nothing is gained over writing the penalty down.** Two queries with a soft threshold read losses alone, too:
  risks are level from 150 rows on (200 rows: 1.00 [0.98, 1.02] and 1.02 [0.99, 1.05]) and products are 5 to 13% worse
  below. After the end phase both are the refitted lasso (ratio 1.00 from 200 rows on). That is 0.13 to 0.23 of the risk
  of the cross-validated lasso from 100 rows on, but by the bias of shrinking and a known σ, not by noise: the refitted
  lasso has it, too. At 50 rows everything fails, and the refit is worse than the cross-validated lasso (1.72 [1.44,
  2.06]).
- **It is dear.** Until the risk is 1.25 times that of the lasso, products read 16,500 losses for 200 weights and
  341,000 for 1,000; the soft threshold 15,500 and 250,000. Before the end phase hardly any weight is exactly zero, with
  either.
- **Noise of variance e²|θ|^q is an ℓ_q penalty**, and every noise that was tried has the penalty of its law (measured
  over law within its interval of 1 in 25 of 26 places). Poisson-like noise on plain weights is a lasso *if one
  differentiates through it*: it ends 0.036 [0.028, 0.044] from the weighted lasso. Two queries under Poisson-like noise
  do not see that penalty: they end at least squares, 0.002 [0.001, 0.003] away. What shrinks is how the noise depends
  on the weight, which no difference of two losses holds. On products the noise depends on nothing, and two queries are
  enough.
- **Networks, uniform noise: no.** On digits 90% of product weights and 95% of plain ones (83% by row) stay beyond 0.01
  at every strength that still learns, where spred goes down to 3% of the weights at 95% accuracy.
- **The open question, by density: no.** Where spred has 97.6% right with 0.315 of the weights beyond 0.01, the sparsest
  noise that is level has 2.2 [2.2, 2.3] times as many; where spred has 95.0% with 0.030, it is 16.6 [15.9, 17.4] times
  as many at least. Four times the epochs take spred to 0.074, and noise to 0.49 with 1.1 points less, or to 0.43 with
  4.4 points less.
- **Networks that read nothing but losses: no, too.** 64-32-10 under two queries keeps 0.95 of its product weights
  beyond 0.01 at every noise, and products are 0.7 to 1.7 points behind plain weights (96.3%). The penalty of spred,
  added to the same estimate, goes down to 0.77 at 1.6 [0.4, 2.7] points less.
- **By what can be cut: yes down to a tenth, no below.** Plain weights with curved Poisson-like noise by row have 97.6%
  right with their largest 20% alone, and 96.4% with 10%: no difference to spred is seen (-0.0 [-0.7, 0.6] and -0.2
  [-0.9, 0.4] points). With 5% they are 2.1 [0.9, 3.3] points worse. Noise adds 2.3 [1.3, 3.4], 14.6 [9.7, 19.5] and
  39.6 [31.8, 47.4] points to the same weights without it. Curved noise has had twice as many settings tried as spred.
- **What fails is not the average penalty.** The average pull of the same noise, with no noise, leaves 0.29 of the
  weights at 95.9%, where noise by row leaves 0.50 to 0.63 at 93.9%. It is still 9.6 [9.3, 9.9] times as dense as spred
  (at 0.9 points more), perhaps since it pulls weights without curvature by nothing. Noise has two things that its
  average has not: it fluctuates, and under it networks can lower their curvature instead of their weights. Which of
  them does the harm has not been taken apart.
- **The optimizer matters as much as noise does** for what can be cut: with SGD and momentum the largest tenth of plain
  weights has 86% right, with Adam 58% (inner splits); with curved Poisson-like noise by row 96 and 68%; with spred 96%
  with both.
"""

REGRESSION = """## Sparse regression with an unknown support

Y = Xθ* + noise of variance 1; ten weights are ±1, the others zero, and nobody says which. X is Gaussian, its columns
scaled to mean square 1; the excess risk is |θ − θ*|². λ = √(2 log d / n), which supposes that the variance of the noise
is known.

*Two queries, product weights*: θ = m·w, signs ±√λ on both factors, two losses of all rows at a step, and m and w move
by their difference. *Soft threshold*: plain weights, two losses, and the explicit proximal step of λ|θ|. *Then refitted
by queries*: what is below λ/2 is frozen at zero, and the rest goes on as products with next to no noise, for a tenth of
the steps. *Plain, stopped at its best* and *ridge at its best* are told by the truth when to stop, which nobody is.
Lassos are those of scikit-learn; *refitted* is least squares on what is beyond λ/2. *λ of the cross-validation* takes
the λ that five folds chose for the lasso, at most 200,000 steps.
"""

QUERIES = """## Against the losses that are read

The same 200 rows, risk and support along the way. The last marks are the estimates with an end phase, and the lasso.
"""

LAWS = """## Which noise is which penalty

For a linear model under squared loss, independent noise of mean zero adds ½ Σ_j G_jj Var(θ_j | weights) to the expected
loss, where G = XᵀX / n. So noise of variance e²|θ|^q is an ℓ_q penalty: q = 0 a constant, q = 1 a lasso on plain
weights, q = 2 a ridge penalty. The second table is what is learned under noise by the classes of the package;
*Poisson-like, two queries* perturbs plain weights by ± e √max(|θ|, ¼) and reads two losses at a step.

"""

DIGITS = """## Networks: uniform noise

Perceptrons 64-100-10 on handwritten digits, trained by back-propagation through the noise. *By row*: each row of a
batch sees noise of its own. Means over three inner splits, at the optimizer and rate with the best accuracy; the last
column is the least share of weights beyond 0.01 at any rate that gets 80% right.

"""

OPEN = """## The open question: does curved or Poisson-like noise sparsify a network to the level of spred?

In a network the penalty of noise on a weight goes with its curvature, which is zero for silent pixels and vanishes as
the loss is fitted. *Curved* noise makes up for it: η² = λ / (H + floor) on both factors, or e² = 2λ / (H + floor) on
plain weights. H is the running mean of the diagonal of the Gauss-Newton matrix, and floor a tenth of its layer's mean,
or all of it. *Its average, without noise* pulls |θ| with λ H / (H + floor), which is what that noise takes away on
average where it is small, and perturbs nothing.
"""

OPTIMIZERS = """With either optimizer, the best inner accuracy at any strength and rate, in percent (the best of many,
and without an interval):
"""

LONGER = """The settings of the first table, trained four times as long.
"""

SMALL = """## A network that reads nothing but losses

64-32-10, 15,000 steps of two losses on 256 rows, all trained numbers perturbed at once; on products the size of the
perturbation is the noise η. spred adds its penalty to the estimate, with a perturbation of 0.03, as plain has.

"""

HOW = """## How it was measured

**Regression.** 20 replicates with 200 weights, 10 with 1,000 (fewer with 1,000 rows, as the heading says): rows,
support, signs and noise are drawn anew; arms of a replicate share them, so ratios are paired, and their intervals are
those of the mean logarithm. Both rules that read losses read as many: the steps of 10 / (rate λ) at half the rate below
which two queries on products are stable. Their rates are 1, 1/2 or 1/4 of that limit, whichever had the least risk on
replicates of their own (three with 200 weights; one with 1,000, up to 400 rows, and the rate of 400 rows for 1,000).
The truth was asked there, for both alike. Rates are constant for 60% of the steps and then fall to nothing linearly. m
starts at 0.3, w at zero. Losses are followed in single precision by an algebra that gives the same numbers as two
losses; that a step of it is a step of the package's rules is tested.

**Laws.** Ten sets of rows (60 × 20; 100 × 20 for what is learned); 4,000 draws of signs, both sides of each, for the
exponents; 10,000 draws (2,500 where activities are noisy) for the table. Learning under noise: 4,000 steps at a
constant rate of 0.01, mean over the second half, λ = 0.3.

**Digits.** 1,347 rows to train on and 450 to judge on, split anew for each of ten replicates; replicates share rows, so
intervals are narrower than those of fresh rows would be. 60 epochs of batches of 64, half a cosine. All arms that have
a strength are tried at seven of them, times five optimizers and rates (Adam 0.003 and 0.01; SGD with momentum 0.03, 0.1
and 0.3), curved ones times two floors, on three inner splits (a fifth of the training rows of replicates of their own).
The setting of spred is the one with the fewest weights beyond 0.01 whose inner accuracy is at most one point (or three)
below the best of plain; that of any other arm the one with the fewest whose inner accuracy is at most one point below
that of spred. *Level* is an accuracy whose interval lies above one point below spred. For the largest weights alone,
each arm has the setting that is best for it. Networks of a replicate start from the same weights and see the same
batches. Noise by row draws what a unit receives, with the variance that noise on its weights would give it
([arXiv:1506.02557](https://arxiv.org/abs/1506.02557)); for products the term of η² zz' is left out there. Biases have
neither noise nor penalty. Brackets are 95% t intervals over replicates, paired where something is compared, and not
corrected for the number of lines; the luck of choosing settings is outside of them.

The choice of arms, strengths and of a width of 100 is ours; a pilot of two replicates set the ranges.

Repeat with `python benchmarks/synaptic_noise.py`, which resumes when it was stopped (about an hour of one core), then
`--table`; `--quick` runs a few small cases.
"""

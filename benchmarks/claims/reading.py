"""What a person wrote for the page."""

HEAD = """# Claims of the literature, tried here

Papers on sparse training say which method is better than which, mostly on ImageNet and CIFAR, often without intervals.
Do their claims hold on a small network that anyone can train? Each is tried on ten draws of rows with paired
intervals; what is not found is reported as it is. A claim that fails here may hold where it was made: a perceptron on
MNIST is easy, and most differences are tenths of a point.
"""

READING = """## In short

- **Random masks (5): the order holds, the distances do not.** ERK is better than uniform, by a tenth to a third of a
  point instead of 1.5 to 1.9, and at 90% sparsity ERK stays a third of a point below dense, uniform two thirds. At 80%
  with ERK no loss is seen at all.
- **Shuffled masks (7): within a point, but not the same.** The test at ±1 point passes in all six cases, and zero is
  excluded in all six: shuffling costs SNIP and GraSP 0.4 to 0.6 points, which is most of what lies between a random
  mask and dense here, and *gains* SynFlow 0.2 to 0.3, whose masks leave half of the hidden units without weights. Our
  guess for the first two: they see which pixels of MNIST are blank, and a shuffled mask spends weights on them.
- **Rewinding (8): later rewinding helps, rate rewinding is not the best.** Both LRR (+0.3) and WR (+0.4) are better
  than iterative pruning from the first weights, but LRR is 0.1 [0.03, 0.3] points *below* WR.
- **Masks and weights (9): warm-up signs are enough, but the mask alone is worth something too.** On the mask of LRR
  the weights of a short warm-up, or their signs, are as good as LRR, as claimed. Fresh weights on it are 0.4 [0.2,
  0.5] points better than on a random mask of the same counts; the paper has no difference.
- **Signs and magnitudes (10): holds on masks of gradual pruning.** Learned signs with fresh magnitudes close 1.3 [1.1,
  1.7] of the gap, learned magnitudes with fresh signs none (they are worse than fresh weights, by 0.7 of it). On the
  mask of AC/DC the order is the same, but AC/DC is no better than fresh weights on its mask, so there is no gap to
  close, where ResNet-50 has four points.
- **Sign-In (11): a tenth of a point, in two places of five.** The papers have more than one. Its resets are not shown
  to matter: products m · w alone do as well everywhere.
- **HAM (12): nothing under AdamW, worse under SGD.** Dense networks are not worse with it, as claimed. On random masks
  it gains nothing under AdamW; under SGD it is 0.5 points below, and at density 0.05 two networks of the ten failed
  (11% and 40% right) at the rate that was best on the tuning rows.
- **Cycles (13): contradicted on this network.** Four cycles are 0.4 points below one schedule of the same length. At
  98% SCULPT is 1.5 points better than cycles on a random mask, as claimed, and LRR is not shown to be better than
  SCULPT.
- **Masks that move (14): the lower rungs hold, the upper ones cannot be told apart.** SET is better than a static mask
  (+0.4 at density 0.1, +0.8 at 0.02) and better with ERK than uniform. RigL is not shown to be better than SET, nor
  dense better than RigL: both differences lie within two tenths of a point. Twice the epochs help RigL (+0.2) and a
  static mask as much (+0.2).
- **Exploration (15): the sign holds, the strength does not.** Over update intervals, accuracy and the share of weights
  explored have a rank correlation of 0.49 [0.43, 0.71]; moving every 3 steps is worse than every 30.
- **AC/DC (16): contradicted.** At density 0.05 it is 0.9 points *worse* than gradual pruning under AdamW and 0.4 under
  SGD, where the papers have it 2.5 better; its dense twin is within a point of dense. Fifteen epochs leave a phase of
  60 steps; the paper has a hundred epochs.
- **Constant fan-in (18): holds.** SRigL is within half a point of RigL, ablation is worth 0.15 points at density 0.02,
  and 8% of the hidden units are gone there. At density 0.2 SRigL is 0.3 [0.2, 0.4] points above dense.
- **On the residual network** (8, 11, 12, 13; 18,312 weights, 3,000 rows) rewinding and pruning matter more: LRR is 1.5
  [1.2, 1.7] above WR and 1.9 above iterative pruning, as claimed, and at 98% SCULPT is 11 points above cycles on a
  random mask and LRR 3.4 above SCULPT. Sign-In and four cycles gain nothing there either; HAM is 0.25 [0.01, 0.50]
  above Sign-In at density 0.1, and no other difference of its is shown.
"""

HOW = """## How it was measured

The network is a perceptron, 784-300-100-10 (266,200 weights), trained on 10,000 rows of MNIST, drawn anew for each of
ten replicates, and judged on the 10,000 test rows. AdamW, batches of 128, warm-up over a twentieth of the steps and
half a cosine, 15 epochs unless the table of arms says otherwise: all as in `sparsefire fit`. Arms of one replicate
share rows, first weights and the order of batches, so differences are paired. Experiments 8, 11, 12 and 13 are tried
on a second network too, a residual one with batch norm and SGD.

The highest rate of every arm is the best of 0.003, 0.01 and 0.03 (SGD with momentum 0.9: 0.03, 0.1, 0.3; HAM: each
with α 20 and 200) on 10,000 further training rows, after one training on a draw of its own. That choice is made once
and shared by the ten replicates: its luck is not in the intervals, and where two rates are near each other it can be
worth some tenths of a point. Shuffled masks take the rate of the masks as found, and update intervals that of RigL's
own interval.

*Better* holds if the 95% t interval of the paired difference lies above zero. *Not worse* holds if it lies above the
margin. *Same* holds if two one-sided t tests (TOST) at 5% reject a difference as large as the margin: ±1 point for
shuffled masks, ±0.5 for SRigL, ±0.3 elsewhere, where a point would be more than all there is to gain. Shares have
Fieller's interval, ρ a bootstrap over replicates. *Contradicted* means that the interval lies wholly on the other
side, *not shown* all else. Nothing is corrected for the number of comparisons: of so many, one or two intervals in
forty miss.

Numbers of papers are differences of their means, on the network that stands beside them; they show what was claimed,
not what to expect here.

Repeat with `python benchmarks/published.py` (it resumes when it was stopped), then `--table`; `--only` takes numbers
of experiments, which are those of our list of acceptance tests.
"""

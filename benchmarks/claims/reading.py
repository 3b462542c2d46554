"""What a person wrote for the page."""

HEAD = """# Claims of the literature, tried here

Papers on sparse training say which method is better than which, mostly on ImageNet and CIFAR, often without intervals.
Do their claims hold on a small network that anyone can train? Each is tried on ten draws of rows with paired
intervals; what is not found is reported as it is. A claim that fails here may hold where it was made: a perceptron on
MNIST is easy, and most differences are tenths of a point.
"""

READING = """## In short

Of twelve experiments, four are finished (5, 14, 16 and 18, but for arms that are trained longer or by SGD) and two
are begun (7, 10). The others wait for the same command; nothing is said about them.

- **Random masks (5): the order holds, the distances do not.** ERK is better than uniform, by a tenth to a third of a
  point instead of 1.5 to 1.9, and at 90% sparsity ERK stays a third of a point below dense, uniform two thirds. At 80%
  with ERK no loss is seen at all.
- **Masks that move (14): the lower rungs hold, the upper ones cannot be told apart.** SET is better than a static mask
  (+0.4 at density 0.1, +0.8 at 0.02) and better with ERK than uniform. RigL is not shown to be better than SET, nor
  dense better than RigL: both differences lie within two tenths of a point.
- **AC/DC (16): contradicted.** At density 0.05 it is 0.9 points *worse* than gradual pruning, where the papers have it
  2.5 better; its dense twin is within a point of dense. Fifteen epochs leave a phase of 60 steps, and AdamW moves every
  weight that comes back by about the rate in its first steps, whatever its gradient; the paper has SGD and a hundred
  epochs. The pair with SGD is in the list and has not been run.
- **Constant fan-in (18): holds.** SRigL is within half a point of RigL, ablation is worth 0.15 points at density 0.02,
  and 8% of the hidden units are gone there. At density 0.2 SRigL is 0.3 [0.2, 0.4] points above dense.
- **Signs and magnitudes (10): half of it.** On AC/DC's mask learned signs are better than learned magnitudes (+0.9) and
  than fresh weights (+0.2), and learned magnitudes with wrong signs are *worse* than fresh weights. But AC/DC itself is
  no better than fresh weights on its mask, so there is no gap to close, where ResNet-50 has four points. The same on
  masks of gradual pruning has not been run.
- **Shuffled masks (7): within a point, but not the same.** At density 0.05 shuffling costs SNIP 0.6 [0.5, 0.8] points
  and GraSP 0.6 [0.4, 0.7]: the test at ±1 point passes, the interval excludes zero, and a point is most of what lies
  between a random mask and dense here. Our guess: both scores see which pixels of MNIST are blank, and a shuffled mask
  spends weights on them. SynFlow and density 0.1 have not been run.
"""

HOW = """## How it was measured

The network is a perceptron, 784-300-100-10 (266,200 weights), trained on 10,000 rows of MNIST, drawn anew for each of
ten replicates, and judged on the 10,000 test rows. AdamW, batches of 128, warm-up over a twentieth of the steps and
half a cosine, 15 epochs unless the table of arms says otherwise: all as in `sparsefire fit`. Arms of one replicate
share rows, first weights and the order of batches, so differences are paired. (A second network, a residual one with
batch norm and SGD, is built in for experiments 8, 11, 12 and 13: `--places conv`.)

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

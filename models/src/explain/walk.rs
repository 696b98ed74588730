//! The walk that finds a row's contributions, without a choice on its way: the trees of a grove stand
//! behind each other, every branch after its parent.
//!
//! Vectors have one number for each point of the quadrature. All sums have a fixed order, so that a
//! recorded decision has the same contributions when it is replayed on another processor.

/// One branch of a tree.
#[derive(Clone, Copy, Debug)]
pub(super) struct Branch {
    pub(super) threshold: f32,
    /// Which of the row's values: those from the width on are for branches where a NaN goes left.
    pub(super) value: u32,
    pub(super) feature: u32,
    pub(super) place: u32,
    /// The place of the left child; the right one follows it.
    pub(super) children: u32,
    /// The place that the path's last branch on the same feature led to; the root's where there is none.
    pub(super) before: u32,
    pub(super) factors: u32,
    /// `(p, s)` for a row that left the feature's branches above, goes right, goes left. Where both
    /// children are leaves: the value expected below, at `u = 0`, and its slope.
    pub(super) turns: [(f64, f64); 3],
}

/// Trees whose branches are walked one after the other.
#[derive(Clone, Debug)]
pub(super) struct Grove {
    /// Those that lead to another branch.
    inner: Vec<Branch>,
    /// Those that lead to two leaves.
    last: Vec<Branch>,
    /// Leaves beside a branch.
    leaves: Vec<(u32, f64)>,
    /// For each: `u` for all points, then `h` for all points.
    factors: Vec<f64>,
    /// Half as many as places.
    pairs: u32,
}

/// Memory that one grove after the other uses.
#[derive(Debug)]
pub(super) struct Scratch<const Q: usize> {
    above: Vec<[[f64; Q]; 2]>,
    below: Vec<[[f64; Q]; 2]>,
    taken: Vec<[bool; 2]>,
    turns: Vec<(f64, f64)>,
}

impl Default for Grove {
    fn default() -> Self {
        let (inner, last, leaves, factors) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        Self { inner, last, leaves, factors, pairs: 1 }
    }
}

impl Grove {
    /// The place of all roots: the same stands above each of them, and nobody asks what is below.
    pub(super) const ROOT: u32 = 0;

    pub(super) fn branches(&self) -> usize {
        self.inner.len() + self.last.len()
    }

    pub(super) fn bytes(&self) -> usize {
        self.branches() * size_of::<Branch>() + size_of_val(&self.factors[..])
    }

    /// Gives back where they lie.
    pub(super) fn push_factors(&mut self, factors: &[f64]) -> u32 {
        let at = self.factors.len() / factors.len();
        self.factors.extend_from_slice(factors);
        at as u32
    }

    /// Gives back the places of the children.
    pub(super) fn push_inner(&mut self, branch: Branch) -> [u32; 2] {
        let children = 2 * self.pairs;
        self.pairs += 1;
        self.inner.push(Branch { children, ..branch });
        [children, children + 1]
    }

    pub(super) fn push_last(&mut self, branch: Branch) {
        self.last.push(branch);
    }

    pub(super) fn push_leaf(&mut self, place: u32, value: f64) {
        self.leaves.push((place, value));
    }

    /// Adds each point's part of each feature's contribution.
    pub(super) fn add<const Q: usize>(
        &self,
        values: &[f32],
        weights: &[f64; Q],
        scratch: &mut Scratch<Q>,
        sums: &mut [[f64; Q]],
    ) {
        let (factors, _) = self.factors.as_chunks::<Q>();
        let (factors, _) = factors.as_chunks::<2>();
        scratch.fit(self.pairs as usize, self.inner.len());
        let Scratch { above, below, taken, turns } = scratch;
        above[0] = [*weights; 2];
        taken[0] = [true; 2];
        for (branch, turn) in self.inner.iter().zip(turns.iter_mut()) {
            let (open, goes) = (*at(taken, branch.before), branch.goes_left(values));
            *turn = branch.turns[state(open, goes)];
            let (p, s) = *turn;
            let [u, _] = &factors[branch.factors as usize];
            let here = at(above, branch.place);
            let left: [f64; Q] = std::array::from_fn(|point| here[point] * (p + s * u[point]));
            let right = std::array::from_fn(|point| here[point] - left[point]);
            let children = branch.children as usize / 2;
            above[children] = [left, right];
            // Lazy operators would be branches, and rows go either way.
            let other = !goes;
            taken[children] = [open & goes, open & other];
        }
        for (place, value) in &self.leaves {
            *at_mut(below, *place) = [*value; Q];
        }
        for branch in &self.last {
            let (open, goes) = (*at(taken, branch.before), branch.goes_left(values));
            let (p, s) = branch.turns[state(open, goes)];
            let [u, h] = &factors[branch.factors as usize];
            let (here, sum) = (at(above, branch.place), &mut sums[branch.feature as usize]);
            *at_mut(below, branch.place) = std::array::from_fn(|point| p + s * u[point]);
            *sum = std::array::from_fn(|point| sum[point] + here[point] * (s * h[point]));
        }
        for (branch, (p, s)) in self.inner.iter().zip(turns.iter()).rev() {
            let [u, h] = &factors[branch.factors as usize];
            let (here, sum) = (at(above, branch.place), &mut sums[branch.feature as usize]);
            let [left, right] = &below[branch.children as usize / 2];
            let apart: [f64; Q] = std::array::from_fn(|point| left[point] - right[point]);
            *sum = std::array::from_fn(|point| {
                sum[point] + here[point] * (s * h[point]) * apart[point]
            });
            *at_mut(below, branch.place) =
                std::array::from_fn(|point| right[point] + (p + s * u[point]) * apart[point]);
        }
    }
}

impl Branch {
    fn goes_left(&self, values: &[f32]) -> bool {
        values[self.value as usize] <= self.threshold
    }
}

/// Which of a branch's turns a row takes.
fn state(open: bool, goes_left: bool) -> usize {
    usize::from(open) * (1 + usize::from(goes_left))
}

fn at<T>(pairs: &[[T; 2]], place: u32) -> &T {
    &pairs[place as usize / 2][place as usize % 2]
}

fn at_mut<T>(pairs: &mut [[T; 2]], place: u32) -> &mut T {
    &mut pairs[place as usize / 2][place as usize % 2]
}

impl<const Q: usize> Scratch<Q> {
    fn fit(&mut self, pairs: usize, inner: usize) {
        if self.above.len() < pairs {
            self.above.resize(pairs, [[0.0; Q]; 2]);
            self.below.resize(pairs, [[0.0; Q]; 2]);
            self.taken.resize(pairs, [false; 2]);
        }
        if self.turns.len() < inner {
            self.turns.resize(inner, (0.0, 0.0));
        }
    }
}

impl<const Q: usize> Default for Scratch<Q> {
    fn default() -> Self {
        let (above, below, taken, turns) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        Self { above, below, taken, turns }
    }
}

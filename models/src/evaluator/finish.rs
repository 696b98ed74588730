//! What becomes of the sums over trees: base values, classes, labels, the last transform.
//!
//! In single precision, and with the turns that ONNX Runtime takes (`TreeAggregatorClassifier` and
//! its siblings): a binary classifier whose leaves speak of the first class only answers for both, an
//! output of which no leaf speaks is 0 whatever its base value.

use super::transform::{Transform, logistic, probit};
use crate::Link;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Aggregate {
    Sum,
    Average,
    Min,
    Max,
}

impl Aggregate {
    pub(super) fn parse(name: &str) -> Option<Self> {
        Some(match name {
            "SUM" => Self::Sum,
            "AVERAGE" => Self::Average,
            "MIN" => Self::Min,
            "MAX" => Self::Max,
            _ => return None,
        })
    }

    /// By its number in the operator TreeEnsemble.
    pub(super) fn numbered(number: i64) -> Option<Self> {
        usize::try_from(number)
            .ok()
            .and_then(|at| [Self::Average, Self::Sum, Self::Min, Self::Max].get(at).copied())
    }

    /// What a sum begins with.
    pub(super) fn start(self) -> f32 {
        match self {
            Self::Sum | Self::Average => 0.0,
            Self::Min => f32::INFINITY,
            Self::Max => f32::NEG_INFINITY,
        }
    }
}

/// The label that goes with a row's outputs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Label {
    /// The label of that class.
    Class(usize),
    /// A binary ensemble of which leaves speak of both classes answers 0 or 1, whatever its labels.
    Plain(bool),
    /// A regressor has none.
    None,
}

#[derive(Clone, Debug)]
enum Kind {
    Classes { positive: bool },
    Targets { aggregate: Aggregate, trees: f32 },
}

#[derive(Clone, Debug)]
pub(super) struct Finish {
    kind: Kind,
    base: Vec<f32>,
    transform: Transform,
    /// Which outputs have a sum.
    present: Vec<bool>,
}

/// The linear form behind a score.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Margin {
    /// One for each sum.
    pub(super) weights: Vec<f64>,
    pub(super) base: f64,
    pub(super) link: Link,
}

impl Finish {
    pub(super) fn classifier(
        classes: usize,
        present: Vec<bool>,
        base: Vec<f32>,
        transform: Transform,
        positive: bool,
    ) -> Option<Self> {
        let finish = Self { kind: Kind::Classes { positive }, base, transform, present };
        let any = finish.present.contains(&true);
        let sound = match classes {
            // ONNX Runtime leaves the second probability unset.
            2 => {
                finish.base.len() <= 2 && any && !(finish.alone() && transform == Transform::Probit)
            }
            3.. => finish.base.len() <= classes && any,
            _ => false,
        };
        sound.then_some(finish)
    }

    pub(super) fn regressor(
        present: Vec<bool>,
        base: Vec<f32>,
        aggregate: Aggregate,
        trees: usize,
        transform: Transform,
    ) -> Option<Self> {
        let several = matches!(aggregate, Aggregate::Min | Aggregate::Max) && present.len() > 1;
        let sound = !several && present.contains(&true) && trees > 0;
        let kind = Kind::Targets { aggregate, trees: trees as f32 };
        sound.then_some(Self { kind, base, transform, present })
    }

    pub(super) fn outputs(&self) -> usize {
        self.present.len()
    }

    /// How many sums a row has.
    pub(super) fn sums(&self) -> usize {
        self.present.iter().filter(|present| **present).count()
    }

    pub(super) fn aggregate(&self) -> Aggregate {
        match self.kind {
            Kind::Classes { .. } => Aggregate::Sum,
            Kind::Targets { aggregate, .. } => aggregate,
        }
    }

    /// Whether one sum stands for both of two classes.
    fn alone(&self) -> bool {
        matches!(self.kind, Kind::Classes { .. })
            && self.present == [true, false]
            && self.base.len() < 2
    }

    /// From the sums of a row to its outputs.
    pub(super) fn finish(&self, sums: &[f32], outputs: &mut [f32]) -> Label {
        let mut sums = sums.iter();
        for (output, present) in outputs.iter_mut().zip(&self.present) {
            *output = if *present { sums.next().copied().unwrap_or(0.0) } else { 0.0 };
        }
        match (&self.kind, outputs) {
            (Kind::Targets { aggregate, trees }, outputs) => {
                self.targets(*aggregate, *trees, outputs);
                Label::None
            }
            (Kind::Classes { positive }, [zero, one]) => self.two_classes(*positive, zero, one),
            (Kind::Classes { .. }, outputs) => self.classes(outputs),
        }
    }

    fn targets(&self, aggregate: Aggregate, trees: f32, outputs: &mut [f32]) {
        if aggregate == Aggregate::Average {
            for output in outputs.iter_mut() {
                *output /= trees;
            }
        }
        if self.base.len() == outputs.len() {
            // A single target counts as reached, one of several only by its leaves.
            let alone = outputs.len() == 1;
            let each = outputs.iter_mut().zip(&self.base).zip(&self.present);
            for ((output, base), _) in each.filter(|(_, present)| alone || **present) {
                *output += base;
            }
        }
        match outputs {
            // One target knows no other transform.
            [only] if self.transform == Transform::Probit => *only = probit(*only),
            [_] => {}
            several => self.transform.apply(several),
        }
    }

    fn two_classes(&self, positive: bool, zero: &mut f32, one: &mut f32) -> Label {
        let second = self.present[1];
        match self.base.as_slice() {
            [_, base] if second => {
                // The first sum stands for both here, as ONNX Runtime adds them.
                *one = base + *zero;
                *zero = if self.present[0] { -*one } else { 0.0 };
            }
            [first, _] => *zero += first,
            [base] if self.present[0] => *zero += base,
            _ => {}
        }
        let weight = if second { *one } else { *zero };
        let one_class = self.present[0] != second;
        let label = match one_class {
            true if positive => Label::Class(usize::from(weight > 0.5)),
            true => Label::Class(usize::from(weight > 0.0)),
            false => Label::Plain(weight > 0.0),
        };
        if !self.alone() {
            let mut pair = [*zero, *one];
            self.transform.apply(&mut pair);
            [*zero, *one] = pair;
        } else if self.transform == Transform::Logistic {
            *one = logistic(*zero);
            *zero = logistic(-*zero);
        } else if positive {
            *one = *zero;
            *zero = 1.0 - *zero;
        } else {
            *one = *zero;
            *zero = -*zero;
        }
        label
    }

    fn classes(&self, outputs: &mut [f32]) -> Label {
        for (output, base) in outputs.iter_mut().zip(&self.base) {
            *output += base;
        }
        let mut best: Option<usize> = None;
        for (at, output) in outputs.iter().enumerate() {
            let known = self.present[at] || at < self.base.len();
            if known && best.is_none_or(|best| *output > outputs[best]) {
                best = Some(at);
            }
        }
        self.transform.apply(outputs);
        best.map_or(Label::None, Label::Class)
    }

    /// The linear form of the score, which is output `column`; `None` where it has none.
    pub(super) fn margin(&self, column: usize) -> Option<Margin> {
        let base = |at: usize| self.base.get(at).map_or(0.0, |base| f64::from(*base));
        let form = |weights: &[f64], base: f64, link: Link| {
            let used = weights.iter().zip(&self.present).filter(|(_, present)| **present);
            Some(Margin { weights: used.map(|(weight, _)| *weight).collect(), base, link })
        };
        match (&self.kind, self.present.len()) {
            (Kind::Targets { aggregate, trees }, 1) if self.transform != Transform::Probit => {
                let base = |at| if self.base.len() == 1 { base(at) } else { 0.0 };
                match aggregate {
                    Aggregate::Sum => form(&[1.0], base(0), Link::Identity),
                    Aggregate::Average => form(&[1.0 / f64::from(*trees)], base(0), Link::Identity),
                    Aggregate::Min | Aggregate::Max => None,
                }
            }
            (Kind::Classes { .. }, 2) if column == 1 => {
                let odds = self.transform == Transform::Logistic;
                let link = if odds { Link::Logit } else { Link::Identity };
                if self.alone() {
                    return form(&[1.0, 0.0], base(0), link);
                }
                let doubled = self.base.len() == 2 && self.present[1];
                let (first, second) = (base(0), if doubled { base(1) } else { 0.0 });
                match self.transform {
                    Transform::None | Transform::Logistic if doubled => {
                        form(&[1.0, 0.0], second, link)
                    }
                    Transform::None | Transform::Logistic => form(&[0.0, 1.0], second, link),
                    // Both turn with the first sum where both have it.
                    Transform::Softmax if doubled && self.present[0] => {
                        form(&[2.0, 0.0], 2.0 * second, Link::Logit)
                    }
                    Transform::Softmax if doubled => form(&[1.0, 0.0], second, Link::Logit),
                    Transform::Softmax => {
                        let first = if self.present[0] { first } else { 0.0 };
                        form(&[-1.0, 1.0], -first, Link::Logit)
                    }
                    Transform::SoftmaxZero | Transform::Probit => None,
                }
            }
            _ => None,
        }
    }
}

//! What a version has to show before it is promoted, and how it compared in shadow.

use serde::{Deserialize, Serialize};

use crate::Error;

/// A difference of scores is summed in billionths, so that no order of additions matters.
pub const NANO: f64 = 1e9;

/// Conditions on the way to canary and active, by the manifest (`[gates]`) or the node's
/// configuration; where both say something, the stricter counts. Shadow's figures are asked for only
/// where another version is active, since there is nothing to compare with before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Gates {
    /// Rows that were compared in shadow.
    pub min_shadow_rows: u64,
    /// Mean absolute difference of the scores.
    pub max_mean_difference: Option<f64>,
    /// The largest difference of one score.
    pub max_difference: Option<f64>,
    /// Share of the rows that fall into another band, 0 to 1.
    pub max_band_changes: Option<f64>,
    /// Share of the rows that failed in shadow, 0 to 1.
    pub max_error_rate: Option<f64>,
    /// How many times as long as the active version a row may take.
    pub max_slowdown: Option<f64>,
}

impl Gates {
    pub fn is_open(&self) -> bool {
        *self == Self::default()
    }

    /// The stricter of both in every respect.
    #[must_use]
    pub fn and(&self, other: &Self) -> Self {
        let less = |a: Option<f64>, b: Option<f64>| match (a, b) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (one, None) | (None, one) => one,
        };
        Self {
            min_shadow_rows: self.min_shadow_rows.max(other.min_shadow_rows),
            max_mean_difference: less(self.max_mean_difference, other.max_mean_difference),
            max_difference: less(self.max_difference, other.max_difference),
            max_band_changes: less(self.max_band_changes, other.max_band_changes),
            max_error_rate: less(self.max_error_rate, other.max_error_rate),
            max_slowdown: less(self.max_slowdown, other.max_slowdown),
        }
    }

    /// Refuses a bound that is no number, by its name.
    pub fn check(&self) -> Result<(), String> {
        for (name, value) in self.bounds() {
            if value.is_some_and(|value| !(value.is_finite() && value >= 0.0)) {
                return Err(format!("gates.{name} must be a number of at least 0"));
            }
        }
        Ok(())
    }

    fn bounds(&self) -> [(&'static str, Option<f64>); 5] {
        [
            ("max_mean_difference", self.max_mean_difference),
            ("max_difference", self.max_difference),
            ("max_band_changes", self.max_band_changes),
            ("max_error_rate", self.max_error_rate),
            ("max_slowdown", self.max_slowdown),
        ]
    }

    /// The first gate that is closed, with its figure and its bound.
    pub fn closed_by(&self, compared: &Compared) -> Option<String> {
        if compared.rows < self.min_shadow_rows {
            let (has, needs) = (compared.rows, self.min_shadow_rows);
            return Some(format!("{has} rows were compared in shadow, min_shadow_rows is {needs}"));
        }
        if compared.rows + compared.errors == 0 {
            let (name, _) = self.bounds().into_iter().find(|(_, bound)| bound.is_some())?;
            return Some(format!("nothing was compared in shadow yet, and {name} asks for it"));
        }
        let figures = [
            compared.mean_difference(),
            compared.max_difference(),
            compared.band_changes(),
            compared.error_rate(),
            compared.slowdown(),
        ];
        let mut gates = self.bounds().into_iter().zip(figures);
        gates.find_map(|((name, bound), figure)| {
            let bound = bound.filter(|bound| figure > *bound)?;
            Some(format!("{name} is {bound}, in shadow it was {figure:.6}"))
        })
    }

    /// The gates that are set, in words.
    pub fn to_text(&self) -> String {
        let rows = (self.min_shadow_rows > 0)
            .then(|| format!("min_shadow_rows = {}", self.min_shadow_rows));
        let bounds = self.bounds().into_iter();
        let bounds = bounds.filter_map(|(name, bound)| Some(format!("{name} = {}", bound?)));
        rows.into_iter().chain(bounds).collect::<Vec<_>>().join(", ")
    }
}

/// A version in shadow beside the active one: totals over all nodes, or what one node has to add.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Compared {
    /// The active version that it was compared with.
    pub against: String,
    /// Rows that both have scored.
    pub rows: u64,
    /// Sum of the absolute differences, in billionths.
    pub difference_nano: u64,
    pub max_difference_nano: u64,
    pub band_changes: u64,
    /// Rows that the shadow could not score.
    pub errors: u64,
    /// Rows that were left out because the queue was full.
    pub dropped: u64,
    /// Time in the shadow, and in the active version for the same rows.
    pub shadow_ns: u64,
    pub active_ns: u64,
}

impl Compared {
    pub fn is_empty(&self) -> bool {
        self.rows + self.errors + self.dropped == 0
    }

    /// Adds what one node has seen; figures beside another active version begin anew.
    pub fn add(&mut self, more: &Self) {
        if self.against != more.against {
            *self = Self { against: more.against.clone(), ..Self::default() };
        }
        let sums = [
            (&mut self.rows, more.rows),
            (&mut self.difference_nano, more.difference_nano),
            (&mut self.band_changes, more.band_changes),
            (&mut self.errors, more.errors),
            (&mut self.dropped, more.dropped),
            (&mut self.shadow_ns, more.shadow_ns),
            (&mut self.active_ns, more.active_ns),
        ];
        for (sum, part) in sums {
            *sum = sum.saturating_add(part);
        }
        self.max_difference_nano = self.max_difference_nano.max(more.max_difference_nano);
    }

    pub fn mean_difference(&self) -> f64 {
        self.difference_nano as f64 / NANO / self.rows.max(1) as f64
    }

    pub fn max_difference(&self) -> f64 {
        self.max_difference_nano as f64 / NANO
    }

    /// The share of the rows.
    pub fn band_changes(&self) -> f64 {
        self.band_changes as f64 / self.rows.max(1) as f64
    }

    pub fn error_rate(&self) -> f64 {
        self.errors as f64 / (self.rows + self.errors).max(1) as f64
    }

    /// Time in shadow by time in the active version.
    pub fn slowdown(&self) -> f64 {
        self.shadow_ns as f64 / self.active_ns.max(1) as f64
    }

    /// Microseconds a row in shadow and in the active version.
    pub fn row_us(&self) -> (f64, f64) {
        let each = |ns: u64| ns as f64 / 1e3 / self.rows.max(1) as f64;
        (each(self.shadow_ns), each(self.active_ns))
    }
}

/// An [`Error::Illegal`] with the gate in it, unless all are open.
pub(crate) fn pass(
    what: &str,
    gates: &Gates,
    compared: &Compared,
    forced: bool,
) -> Result<(), Error> {
    match gates.closed_by(compared) {
        Some(closed) if !forced => Err(Error::Illegal(format!(
            "{what} is stopped by a gate: {closed}; let it run in shadow, or use --force with a --reason"
        ))),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compared() -> Compared {
        Compared {
            against: "1".into(),
            rows: 100,
            difference_nano: 2_000_000_000,
            max_difference_nano: 500_000_000,
            band_changes: 5,
            errors: 1,
            shadow_ns: 300,
            active_ns: 100,
            ..Compared::default()
        }
    }

    #[test]
    fn each_gate_closes_by_its_own_figure() {
        type Change = fn(&mut Gates);
        assert_eq!(Gates::default().closed_by(&Compared::default()), None);
        let with = |change: Change| {
            let mut gates = Gates::default();
            change(&mut gates);
            gates.closed_by(&compared())
        };
        let cases: [(Change, Change, &str); 6] = [
            (|g| g.min_shadow_rows = 100, |g| g.min_shadow_rows = 101, "100 rows"),
            (
                |g| g.max_mean_difference = Some(0.02),
                |g| g.max_mean_difference = Some(0.019),
                "0.020000",
            ),
            (|g| g.max_difference = Some(0.5), |g| g.max_difference = Some(0.49), "0.500000"),
            (|g| g.max_band_changes = Some(0.05), |g| g.max_band_changes = Some(0.04), "0.05"),
            (|g| g.max_error_rate = Some(0.01), |g| g.max_error_rate = Some(0.009), "0.0099"),
            (|g| g.max_slowdown = Some(3.0), |g| g.max_slowdown = Some(2.9), "3.000"),
        ];
        for (open, closed, figure) in cases {
            assert_eq!(with(open), None, "{figure}");
            let said = with(closed).unwrap();
            assert!(said.contains(figure), "{said}");
        }
        let asks = Gates { max_difference: Some(1.0), ..Gates::default() };
        assert!(asks.closed_by(&Compared::default()).unwrap().contains("nothing was compared"));
    }

    #[test]
    fn the_stricter_gate_counts() {
        let a = Gates { min_shadow_rows: 5, max_difference: Some(0.5), ..Gates::default() };
        let b = Gates { min_shadow_rows: 9, max_error_rate: Some(0.1), ..Gates::default() };
        let both = a.and(&b);
        assert_eq!(both, b.and(&a));
        assert_eq!(
            both.to_text(),
            "min_shadow_rows = 9, max_difference = 0.5, max_error_rate = 0.1"
        );
        assert!(Gates { max_slowdown: Some(f64::NAN), ..a }.check().is_err());
    }

    #[test]
    fn figures_add_up_and_begin_anew_beside_another_version() {
        let mut sum = compared();
        sum.add(&Compared { max_difference_nano: 1, ..compared() });
        assert_eq!((sum.rows, sum.max_difference_nano, sum.errors), (200, 500_000_000, 2));
        sum.add(&Compared { against: "2".into(), rows: 3, ..Compared::default() });
        assert_eq!((sum.rows, sum.errors, sum.against.as_str()), (3, 0, "2"));
    }
}

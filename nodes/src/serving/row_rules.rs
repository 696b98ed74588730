//! What becomes of a row with features that are not there or too old: the manifest's word on each.

use features::{FeatureView, Status};
use models::{Manifest, Missing};

/// By feature, in the order of the view.
#[derive(Clone, Debug, Default)]
pub struct RowRules(Vec<Rule>);

#[derive(Clone, Copy, Debug)]
struct Rule {
    missing: Missing,
    stale: Missing,
    max_age_us: i64,
    /// What the view says of a feature that is not there.
    default: f32,
}

/// What was found in one row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RowFound {
    pub has_gaps: bool,
    /// The manifest does not let the model answer for it.
    pub is_refused: bool,
    /// The event time of the oldest value; `i64::MAX` where none has a time.
    pub oldest_us: i64,
}

impl RowFound {
    pub fn oldest(&self) -> Option<i64> {
        (self.oldest_us != i64::MAX).then_some(self.oldest_us)
    }
}

impl RowRules {
    pub fn of(manifest: &Manifest, view: &FeatureView) -> Self {
        let stale = manifest.stale.unwrap_or(manifest.missing);
        let rule = |feature: &features::FeatureDef| {
            let own = manifest.demands.get(&feature.name).copied().unwrap_or_default();
            let max_age_s = own.max_age_s.or(manifest.max_age_s);
            Rule {
                missing: own.missing.unwrap_or(manifest.missing),
                stale: own.stale.or(own.missing).unwrap_or(stale),
                max_age_us: max_age_s.map_or(i64::MAX, |age_s| {
                    i64::try_from(age_s).unwrap_or(i64::MAX).saturating_mul(1_000_000)
                }),
                default: feature.default as f32,
            }
        };
        Self(view.features().iter().map(rule).collect())
    }

    /// Whether any gap can keep the model from answering.
    pub fn can_refuse(&self) -> bool {
        self.0.iter().any(|rule| Missing::Refuse == rule.missing || Missing::Refuse == rule.stale)
    }

    /// Holds a row that was just read against the rules, and puts the default where they want it.
    pub fn keep(
        &self,
        values: &mut [f32],
        statuses: &mut [Status],
        event_times_us: &[i64],
        as_of_us: i64,
    ) -> RowFound {
        let mut found = RowFound { has_gaps: false, is_refused: false, oldest_us: i64::MAX };
        let row = values.iter_mut().zip(statuses).zip(event_times_us).zip(&self.0);
        for (((value, status), at_us), rule) in row {
            if matches!(status, Status::Default | Status::NotFound) {
                found.has_gaps = true;
                found.is_refused |= rule.missing == Missing::Refuse;
                continue;
            }
            if *at_us != 0 {
                found.oldest_us = found.oldest_us.min(*at_us);
                if as_of_us.saturating_sub(*at_us) > rule.max_age_us {
                    *status = Status::Stale;
                }
            }
            // Of too few readings is no better than of too old ones.
            if matches!(status, Status::Stale | Status::Partial) {
                found.has_gaps = true;
                match rule.stale {
                    Missing::Default => *value = rule.default,
                    Missing::Refuse => found.is_refused = true,
                    Missing::Flag => {}
                }
            }
        }
        found
    }

    /// The features for which a row is refused.
    pub fn refused<'a>(
        &'a self,
        names: &'a [String],
        statuses: &'a [Status],
    ) -> impl Iterator<Item = &'a str> {
        let refuses = |(rule, status): (&Rule, &Status)| match status {
            Status::Present => false,
            Status::Stale | Status::Partial => rule.stale == Missing::Refuse,
            Status::Default | Status::NotFound => rule.missing == Missing::Refuse,
        };
        names
            .iter()
            .zip(self.0.iter().zip(statuses))
            .filter(move |(_, pair)| refuses(*pair))
            .map(|(name, _)| name.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY_US: i64 = 86_400_000_000;

    fn view() -> FeatureView {
        FeatureView::parse(
            "name = 'v'\nentity = 'resident'\nversion = 1\nfeature = [\n\
             { name = 'a', kind = 'door', aggregate = 'count', window = '1h', default = 7 },\n\
             { name = 'b', column = 'resident.disab_level', default = 8 },\n\
             { name = 'c', column = 'resident.birth_ym', transform = 'years_since', default = 9 },\n]",
        )
        .unwrap()
    }

    fn rules(more: &str) -> RowRules {
        let text = format!(
            "name = 'm'\nversion = '1'\nformat = 'onnx'\nentity = 'resident'\nview = 'v'\n\
             features = ['a', 'b', 'c']\n{more}"
        );
        RowRules::of(&Manifest::parse(&text).unwrap(), &view())
    }

    /// `a` is a day old, `b` is not there, `c` has no time.
    fn kept(rules: &RowRules) -> (RowFound, [f32; 3], [Status; 3]) {
        let mut values = [1.0, 8.0, 3.0];
        let mut statuses = [Status::Present, Status::Default, Status::Present];
        let found = rules.keep(&mut values, &mut statuses, &[DAY_US, 0, 0], 2 * DAY_US);
        (found, values, statuses)
    }

    #[test]
    fn a_default_stands_in_for_what_is_not_there_or_too_old() {
        let (found, values, statuses) = kept(&rules("max_age_s = 60"));
        assert_eq!(found, RowFound { has_gaps: true, is_refused: false, oldest_us: DAY_US });
        assert_eq!(values.map(f32::to_bits), [7.0_f32, 8.0, 3.0].map(f32::to_bits));
        assert_eq!(statuses, [Status::Stale, Status::Default, Status::Present]);
        let (_, values, statuses) = kept(&rules("max_age_s = 86400"));
        assert_eq!((values[0], statuses[0]), (1.0, Status::Present));
    }

    #[test]
    fn a_flagged_value_stays_as_it_is() {
        let (found, values, statuses) = kept(&rules("missing = 'flag'\nmax_age_s = 60"));
        assert!(found.has_gaps && !found.is_refused);
        assert_eq!((values, statuses[0]), ([1.0, 8.0, 3.0], Status::Stale));
    }

    #[test]
    fn a_refusal_names_what_it_is_for() {
        let names = ["a", "b", "c"].map(String::from);
        let refused = |rules: &RowRules| {
            let (found, _, statuses) = kept(rules);
            let named = rules.refused(&names, &statuses).collect::<Vec<_>>().join(" ");
            assert_eq!(found.is_refused, !named.is_empty());
            assert!(!found.is_refused || rules.can_refuse());
            named
        };
        assert_eq!(refused(&rules("missing = 'refuse'")), "b");
        assert_eq!(refused(&rules("missing = 'refuse'\nmax_age_s = 60")), "a b");
        assert_eq!(refused(&rules("missing = 'refuse'\nstale = 'flag'\nmax_age_s = 60")), "b");
        assert_eq!(refused(&rules("stale = 'refuse'\nmax_age_s = 60")), "a");
        assert_eq!(refused(&rules("[demands.a]\nmissing = 'refuse'\nmax_age_s = 60")), "a");
        assert_eq!(refused(&rules("missing = 'refuse'\n[demands.b]\nmissing = 'flag'")), "");
    }
}

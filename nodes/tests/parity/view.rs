//! Views that leave little out.

use features::{Aggregate, FeatureView, builtin};
use std::fmt::Write as _;

/// Every aggregate over every window, of some kinds and of all, and columns of every type.
pub(crate) fn busy() -> FeatureView {
    of("resident", "resident.household_id>household")
}

pub(crate) fn all() -> Vec<FeatureView> {
    let mut views = builtin::views().unwrap();
    views.push(busy());
    views.push(of("device", ""));
    views.push(of("dwelling", ""));
    views.push(FeatureView::parse(APPLICATION).unwrap());
    views
}

fn of(entity: &str, columns: &str) -> FeatureView {
    let mut text = format!("name = '{entity}_busy'\nentity = '{entity}'\nversion = 1\n");
    for kind in ["door", "gas", "any"] {
        for aggregate in Aggregate::ALL {
            for window in features::Window::ALL {
                if !aggregate.fits(window) {
                    continue;
                }
                let name = format!("{kind}_{aggregate}_{window}");
                let hour = if aggregate.wants_hour() { "hour = 3\n" } else { "" };
                write!(
                    text,
                    "[[feature]]\nname = '{name}'\nkind = '{kind}'\naggregate = '{aggregate}'\n\
                     window = '{window}'\n{hour}default = 0.1\nttl_us = 7_200_000_000\n"
                )
                .unwrap();
            }
            if aggregate.is_lifelong() {
                write!(
                    text,
                    "[[feature]]\nname = '{kind}_{aggregate}'\nkind = '{kind}'\naggregate = '{aggregate}'\n"
                )
                .unwrap();
            }
        }
    }
    if !columns.is_empty() {
        text.push_str(COLUMNS);
    }
    FeatureView::parse(&text).unwrap()
}

const COLUMNS: &str = "
[[feature]]
name = 'age'
column = 'resident.birth_ym'
transform = 'years_since'
default = 75
ttl_us = 86_400_000_000
[[feature]]
name = 'dead_years'
column = 'resident.death_date'
transform = 'years_since'
default = -1
[[feature]]
name = 'death_day'
column = 'resident.death_date'
[[feature]]
name = 'held'
column = 'resident.as_of'
[[feature]]
name = 'alone'
column = 'resident.living'
transform = 'equals:alone'
[[feature]]
name = 'level'
column = 'resident.disab_level'
default = 9
[[feature]]
name = 'income'
column = 'resident.household_id>household.income_pc'
default = 0.3
ttl_us = 3_600_000_000
[[feature]]
name = 'asset'
column = 'resident.household_id>household.asset_flag'
transform = 'is_true'
[[feature]]
name = 'floor'
column = 'resident.household_id>household.dwelling_id>dwelling.floor'
default = 1
[[feature]]
name = 'gait_aid'
column = 'health_summary.gait_aid'
transform = 'is_true'
[[feature]]
name = 'bmi'
column = 'health_summary.bmi'
";

const APPLICATION: &str = "
name = 'grants'
entity = 'application'
version = 1
feature = [
    { name = 'amount', column = 'subsidy.amount_fen' },
    { name = 'level', column = 'subsidy.resident_key>resident.disab_level', default = 2 },
]
";

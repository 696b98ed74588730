//! What the parts beside the values say of a window.

use crate::aggregate::Aggregate;
use crate::fixed;
use crate::part::{Distinct, First, Gaps, Hours, Profile, Squares, TilePart, Trend, gap_max_s};
use crate::plan::PartPlan;
use crate::series::Series;
use crate::window::MINUTE_US;

/// The value of a feature, of the series that is kept for it; nothing where the window holds too little
/// to say. A series that has no reading yet is not there.
pub(crate) fn statistic(
    series: Option<&Series<'_>>,
    plan: &PartPlan,
    as_of_us: i64,
) -> Option<f64> {
    let Some(series) = series else {
        return (plan.aggregate == Aggregate::Distinct).then_some(0.0);
    };
    let start_us = plan.window.start_us(as_of_us);
    let from_min = start_us.div_euclid(MINUTE_US);
    match plan.aggregate {
        Aggregate::Variance => sum::<Squares>(series, from_min)?.variance(),
        Aggregate::Std => sum::<Squares>(series, from_min)?.std(),
        Aggregate::First => {
            let first = series.tiles::<First>(from_min).map(|tile| tile.reading).min()?;
            Some(fixed::from_micros(first.value))
        }
        Aggregate::Distinct => {
            Some(sum::<Distinct>(series, from_min).map_or(0.0, |distinct| distinct.count()))
        }
        Aggregate::GapMaxS => gap_max_s(series.tiles::<Gaps>(from_min), plan.window),
        Aggregate::HourShare => sum::<Hours>(series, from_min)?.share(plan.hour),
        Aggregate::HourMean | Aggregate::HourZ => {
            let mut profile = Profile::at(start_us, as_of_us);
            series.tiles::<Hours>(from_min).for_each(|tile| profile.add(&tile));
            if plan.aggregate == Aggregate::HourZ { profile.z() } else { profile.mean() }
        }
        Aggregate::TrendPerDay => sum::<Trend>(series, from_min)?.slope_per_day(),
        _ => None,
    }
}

/// All tiles from a minute on as one that begins there.
fn sum<T: TilePart>(series: &Series<'_>, from_min: i64) -> Option<T> {
    let zone = crate::Window::M5;
    series.tiles::<T>(from_min).reduce(|mut all, mut tile| {
        // Older tiles come later: the sum moves back to their start.
        all.settle(tile.start_min(), zone);
        tile.merge(&all);
        tile
    })
}

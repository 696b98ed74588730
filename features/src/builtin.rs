//! The views that come with the program.

use crate::view::{FeatureView, ViewError};

/// The TOML text of every built-in view.
pub const VIEW_TEXTS: [&str; 7] = [
    include_str!("../views/resident_activity.toml"),
    include_str!("../views/device_activity.toml"),
    include_str!("../views/fall_risk.toml"),
    include_str!("../views/subsidy.toml"),
    include_str!("../views/dwelling_profile.toml"),
    include_str!("../views/organisation_profile.toml"),
    include_str!("../views/application_profile.toml"),
];

/// Every built-in view.
pub fn views() -> Result<Vec<FeatureView>, ViewError> {
    VIEW_TEXTS.into_iter().map(FeatureView::parse).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_built_in_views_are_views() {
        let views = views().unwrap();
        let names: Vec<_> = views.iter().map(FeatureView::name).collect();
        let resident = ["resident_activity", "device_activity", "fall_risk", "subsidy"];
        let others = ["dwelling_profile", "organisation_profile", "application_profile"];
        assert_eq!(names, [&resident[..], &others].concat());
    }

    #[test]
    fn the_inputs_of_the_models_keep_their_order() {
        let views = views().unwrap();
        let fall = "age female falls_12m gait_aid vertigo drugs_n vision hearing cognition_score dep_score \
                    ability_level lives_alone door_n_1d motion_n_1d motion_n_7d gait_speed_mean_7d";
        assert_eq!(views[2].names().join(" "), fall);
        let subsidy = "income_pc rigid_exp_12m household_size asset_flag assist_edge age disab_level lives_alone drugs_n";
        assert_eq!(views[3].names().join(" "), subsidy);
    }
}

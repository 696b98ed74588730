//! The mapping files that come with the product.

/// Name and text of each.
pub const BUILTIN: &[(&str, &str)] = &[
    ("bed_exit", include_str!("../../mappings/bed_exit.toml")),
    ("kasteren-houseA", include_str!("../../mappings/kasteren-houseA.toml")),
    ("kasteren-houseB", include_str!("../../mappings/kasteren-houseB.toml")),
    ("mavpad", include_str!("../../mappings/mavpad.toml")),
];

/// The text of the mapping file of that name.
pub fn builtin(name: &str) -> Option<&'static str> {
    BUILTIN.iter().find(|each| each.0 == name).map(|each| each.1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::replay::Mapping;

    #[test]
    fn every_one_can_be_parsed() {
        for (name, text) in BUILTIN {
            if let Err(error) = Mapping::parse(text) {
                panic!("{name}: {error}");
            }
        }
        assert!(builtin("kasteren-houseB").is_some() && builtin("x").is_none());
    }
}

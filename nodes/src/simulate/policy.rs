//! The district's 41 policies as data: what each asks of a person, and what it gives.

use serde_json::json;

use super::economy::Class;
use super::home::Living;

/// One thing that a policy asks.
#[derive(Clone, Copy, Debug)]
pub(super) enum Need {
    AgeFrom(u8),
    AgeBelow(u8),
    /// One of these classes of help.
    Class(&'static [Class]),
    Living(&'static [Living]),
    /// An ability level of this or worse.
    LevelFrom(u8),
    /// A certificate of this grade or severer.
    Disability(i64),
    Bereaved,
    /// Yuan a person and month.
    IncomeBelow(f64),
    IllnessesFrom(usize),
    Local,
}

/// What the needs are compared with.
#[derive(Clone, Copy, Debug)]
pub(super) struct Facts {
    pub(super) age: f64,
    pub(super) class: Class,
    pub(super) living: Living,
    pub(super) level: u8,
    pub(super) disability: Option<i64>,
    pub(super) bereaved: bool,
    pub(super) income_pc: f64,
    pub(super) illnesses: usize,
    pub(super) local: bool,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Policy {
    pub(super) name: &'static str,
    /// A month, in fen.
    pub(super) amount_fen: i64,
    pub(super) needs: &'static [Need],
}

impl Need {
    fn holds(self, facts: &Facts) -> bool {
        match self {
            Self::AgeFrom(age) => facts.age >= f64::from(age),
            Self::AgeBelow(age) => facts.age < f64::from(age),
            Self::Class(classes) => classes.contains(&facts.class),
            Self::Living(kinds) => kinds.contains(&facts.living),
            Self::LevelFrom(level) => facts.level >= level,
            Self::Disability(grade) => facts.disability.is_some_and(|own| own <= grade),
            Self::Bereaved => facts.bereaved,
            Self::IncomeBelow(income) => facts.income_pc < income,
            Self::IllnessesFrom(count) => facts.illnesses >= count,
            Self::Local => facts.local,
        }
    }

    fn rule(self) -> serde_json::Value {
        match self {
            Self::AgeFrom(age) => json!({"column": "resident.age", "at_least": age}),
            Self::AgeBelow(age) => json!({"column": "resident.age", "below": age}),
            Self::Class(classes) => {
                let names: Vec<_> = classes.iter().map(|each| each.name()).collect();
                json!({"column": "household.assist_class", "is": names})
            }
            Self::Living(kinds) => {
                let names: Vec<_> = kinds.iter().map(|each| each.name()).collect();
                json!({"column": "resident.living", "is": names})
            }
            Self::LevelFrom(level) => json!({"column": "assessment.level1_5", "at_least": level}),
            Self::Disability(grade) => json!({"column": "resident.disab_level", "at_most": grade}),
            Self::Bereaved => json!({"column": "resident.bereaved_only_child", "is": [true]}),
            Self::IncomeBelow(income) => json!({"column": "household.income_pc", "below": income}),
            Self::IllnessesFrom(count) => {
                json!({"column": "health_summary.chronic_codes", "count_at_least": count})
            }
            Self::Local => {
                json!({"column": "resident.hukou_code12", "within": super::ground::DISTRICT})
            }
        }
    }
}

impl Policy {
    pub(super) fn id(index: usize) -> String {
        format!("p{:02}", index + 1)
    }

    pub(super) fn holds(&self, facts: &Facts) -> bool {
        self.needs.iter().all(|need| need.holds(facts))
    }

    /// The needs as JSON, all of which must hold, and the papers that prove them.
    pub(super) fn rule_json(&self) -> String {
        let all: Vec<_> = self.needs.iter().map(|need| need.rule()).collect();
        json!({"all": all, "papers": PAPERS}).to_string()
    }
}

/// What an application may lack.
pub(super) const PAPERS: [&str; 4] =
    ["identity_copy", "bank_card", "income_statement", "medical_report"];

const POOR: &[Class] = &[Class::Dibao, Class::Tekun];
const NEAR: &[Class] = &[Class::Dibao, Class::Tekun, Class::Edge];
const ANY: &[Class] = &[Class::Dibao, Class::Tekun, Class::Edge, Class::Rigid];
const DIBAO: &[Class] = &[Class::Dibao];
const EDGE: &[Class] = &[Class::Edge];
const RIGID: &[Class] = &[Class::Rigid];
const TEKUN: &[Class] = &[Class::Tekun];
const ALONE: &[Living] = &[Living::Alone];
const FAMILY: &[Living] = &[Living::Couple, Living::Grand, Living::Other];
const ELDERS: &[Living] = &[Living::Alone, Living::Couple, Living::PureElder];

macro_rules! policies {
    ($($name:literal $fen:literal [$($need:expr),*])*) => {
        /// Every policy; its number is its place.
        pub(super) const POLICIES: [Policy; 41] = {
            use Need::*;
            [$(Policy { name: $name, amount_fen: $fen, needs: &[$($need),*] }),*]
        };
    };
}

policies! {
    "Old-age allowance 80" 5_000 [AgeFrom(80), AgeBelow(90), Local]
    "Old-age allowance 90" 10_000 [AgeFrom(90), AgeBelow(100), Local]
    "Old-age allowance 100" 50_000 [AgeFrom(100), Local]
    "Minimum living allowance" 116_000 [Class(DIBAO)]
    "Support for people in special hardship" 174_000 [Class(TEKUN)]
    "Care of people in special hardship, partly dependent" 60_000 [Class(TEKUN), LevelFrom(3)]
    "Care of people in special hardship, dependent" 120_000 [Class(TEKUN), LevelFrom(4)]
    "Edge households: living supplement" 20_000 [Class(EDGE)]
    "Heavy spending relief" 40_000 [Class(RIGID)]
    "Care allowance, moderate" 30_000 [Class(NEAR), LevelFrom(3)]
    "Care allowance, severe" 50_000 [Class(NEAR), LevelFrom(4)]
    "Care allowance, complete" 80_000 [LevelFrom(5)]
    "Disability living allowance" 31_000 [Class(POOR), Disability(4)]
    "Severe disability care allowance" 25_000 [Disability(2)]
    "Severe disability supplement" 12_500 [Class(NEAR), Disability(1)]
    "Bereaved parents' allowance" 98_000 [Bereaved]
    "Bereaved parents' care supplement" 30_000 [Bereaved, AgeFrom(70)]
    "Meal help, 80 and alone" 18_000 [AgeFrom(80), Living(ALONE)]
    "Meal help, in need" 24_000 [Class(NEAR)]
    "Meal delivery for the dependent" 15_000 [LevelFrom(3), Living(ELDERS)]
    "Home care hours, alone" 36_000 [Living(ALONE), LevelFrom(2), AgeFrom(75)]
    "Home care hours, in need" 48_000 [Class(POOR), AgeFrom(70)]
    "Home care hours, dependent" 72_000 [LevelFrom(4)]
    "Safe home kit, alone at 80" 6_000 [AgeFrom(80), Living(ALONE)]
    "Safe home kit, in need" 6_000 [Class(ANY), Living(ELDERS)]
    "Home adaptation, in need" 25_000 [Class(NEAR), LevelFrom(2)]
    "Home adaptation, disabled" 25_000 [Disability(2), AgeFrom(60)]
    "Gas alarm and hose" 3_000 [Class(ANY)]
    "Medical cost relief" 30_000 [Class(ANY), IllnessesFrom(3)]
    "Insurance premium paid, in need" 4_200 [Class(NEAR)]
    "Insurance premium paid, disabled" 4_200 [Disability(2)]
    "Accident cover 80" 1_000 [AgeFrom(80)]
    "Winter heating help" 8_000 [Class(POOR), AgeFrom(70)]
    "Water and power relief" 4_000 [Class(NEAR)]
    "Rent relief" 35_000 [Class(POOR), IncomeBelow(1_000.0)]
    "Visits and company, alone at 85" 9_000 [AgeFrom(85), Living(ALONE)]
    "Wheelchair and aids" 7_000 [LevelFrom(3), IncomeBelow(4_000.0)]
    "Respite stays for families" 20_000 [LevelFrom(4), Living(FAMILY)]
    "Care home fee relief" 60_000 [Class(NEAR), LevelFrom(4)]
    "Illness relief, low income" 20_000 [IncomeBelow(2_000.0), IllnessesFrom(4)]
    "Yearly health check 75" 1_500 [AgeFrom(75), Local]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_policy_needs_everything_it_asks() {
        let mut facts = Facts {
            age: 81.0,
            class: Class::None,
            living: Living::Alone,
            level: 1,
            disability: None,
            bereaved: false,
            income_pc: 4_000.0,
            illnesses: 0,
            local: true,
        };
        assert!(POLICIES[0].holds(&facts) && POLICIES[17].holds(&facts));
        facts.local = false;
        assert!(!POLICIES[0].holds(&facts));
        facts = Facts { age: 99.9, local: true, ..facts };
        assert!(!POLICIES[0].holds(&facts) && POLICIES[1].holds(&facts));
        let rule: serde_json::Value = serde_json::from_str(&POLICIES[0].rule_json()).unwrap();
        assert_eq!(rule["all"][0]["at_least"], 80);
        assert_eq!(rule["all"][2]["within"], "990101");
    }
}

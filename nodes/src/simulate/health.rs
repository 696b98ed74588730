//! What frailty does to a person: illnesses, walking, falls, and the level of ability.

use super::dice::{Dice, Realm, logistic};
use super::person::Person;

/// ICD-10 code, logit at average frailty, slope of frailty.
const ILLNESSES: [(&str, f64, f64); 11] = [
    ("I10", 0.25, 0.25),
    ("E11", -1.45, 0.15),
    ("I25", -1.75, 0.35),
    ("I63", -2.5, 0.5),
    ("J44", -2.35, 0.3),
    ("M17", -1.15, 0.4),
    ("G20", -4.4, 0.5),
    ("G40", -4.95, 0.0),
    ("F03", -3.2, 0.9),
    ("H25", -1.45, 0.45),
    ("C80", -3.3, 0.2),
];
const PARKINSON: usize = 6;
const EPILEPSY: usize = 7;
const DEMENTIA: usize = 8;

/// The logit of a fall in a year of somebody without any of the signs below, at 72; solved for
/// 22 falling of 100.
const FALL_BASE: f64 = -1.996;
/// The odds ratios of the published review.
const FALL_HISTORY: f64 = 2.8;
const FALL_GAIT: f64 = 2.1;
const FALL_AID: f64 = 2.2;
const FALL_VERTIGO: f64 = 1.8;
const FALL_PARKINSON: f64 = 2.7;
const FALL_EPILEPSY: f64 = 1.9;
const FALL_AGE_SLOPE: f64 = 0.02;

/// From which frailty, with some chance in it, a person is of level 2, 3, 4 and 5: 12.7, 3.84,
/// 1.15 and 0.6 of 100.
const LEVELS: [f64; 4] = [1.168, 2.112, 2.836, 3.422];
/// The highest points of the 26 items: self-care 8, moving 4, mind 9, senses 5; 90 together.
pub(super) const ITEMS: [i64; 26] =
    [4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3];
/// The points of the levels 1 to 5, from and to.
pub(super) const BANDS: [(i64, i64); 5] = [(90, 90), (66, 89), (46, 65), (30, 45), (0, 29)];

/// Everything about a person's health, made anew from their stream whenever it is asked for.
#[derive(Clone, Debug)]
pub(super) struct Health {
    pub(super) illnesses: Vec<&'static str>,
    pub(super) drugs: u32,
    pub(super) bmi: f64,
    /// 0 good to 3 very bad.
    pub(super) vision: i64,
    pub(super) hearing: i64,
    /// Of 30.
    pub(super) cognition: i64,
    /// Of 15; 5 and more is a sign of depression.
    pub(super) depression: i64,
    pub(super) falls_12m: i64,
    pub(super) gait_problem: bool,
    pub(super) gait_aid: bool,
    pub(super) vertigo: bool,
    /// 1 intact to 5 complete loss.
    pub(super) level: u8,
    /// The true probability of a fall in the year from the day of the registers.
    pub(super) fall_p: f64,
    /// Days from the day of the registers to the first fall of that year.
    pub(super) falls_on: Option<u16>,
    pub(super) falls_next: i64,
    /// At the day of the registers, in metres a second.
    pub(super) gait_speed: f64,
}

impl Health {
    pub(super) fn new(seed: u64, index: u32, person: &Person) -> Self {
        let mut dice = Dice::new(seed, Realm::Health, u64::from(index), 0);
        let frail = person.frailty;
        let age = person.age();
        let ill = ILLNESSES.map(|(_, base, slope)| dice.chance(logistic(base + slope * frail)));
        let illnesses: Vec<_> =
            ILLNESSES.iter().zip(ill).filter(|each| each.1).map(|each| each.0.0).collect();
        let gait_problem = dice.chance(logistic(-1.5 + 1.1 * frail));
        let gait_aid = dice.chance(logistic(-2.3 + 1.1 * frail));
        let vertigo = dice.chance(logistic(-1.8 + 0.6 * frail));
        let unsteady = if gait_problem { 0.5 } else { 0.0 };
        let fell = dice.chance(logistic(-1.5 + 0.6 * frail + unsteady));
        let falls_12m = if fell { 1 + i64::from(dice.poisson(0.5)) } else { 0 };
        let signs = [
            (fell, FALL_HISTORY),
            (gait_problem, FALL_GAIT),
            (gait_aid, FALL_AID),
            (vertigo, FALL_VERTIGO),
            (ill[PARKINSON], FALL_PARKINSON),
            (ill[EPILEPSY], FALL_EPILEPSY),
        ];
        let odds: f64 = signs.iter().filter(|each| each.0).map(|each| each.1.ln()).sum();
        let fall_p = logistic(FALL_BASE + FALL_AGE_SLOPE * (age - 72.0) + odds);
        let falls_on = dice.chance(fall_p).then(|| dice.whole(1, 366) as u16);
        let ability = frail + 0.8 * dice.normal();
        let level = 1 + LEVELS.iter().filter(|from| ability >= **from).count() as u8;
        let memory = 27.5 - 1.4 * frail.max(-1.0) + 1.5 * dice.normal();
        let memory = memory - if ill[DEMENTIA] { 8.0 } else { 0.0 };
        let senses =
            |dice: &mut Dice| ((0.35 * frail + 0.4 + 0.7 * dice.normal()) as i64).clamp(0, 3);
        Self {
            drugs: dice.poisson(0.4 + 0.8 * illnesses.len() as f64),
            bmi: (23.6 + 3.1 * dice.normal()).clamp(14.0, 42.0),
            vision: senses(&mut dice),
            hearing: senses(&mut dice),
            cognition: (memory as i64).clamp(0, 30),
            depression: i64::from(dice.poisson(2.0 + 0.9 * frail.max(0.0))).min(15),
            falls_next: if falls_on.is_some() { 1 + i64::from(dice.poisson(0.45)) } else { 0 },
            gait_speed: (1.0
                - 0.01 * (age - 70.0)
                - 0.07 * frail
                - if gait_aid { 0.12 } else { 0.0 }
                + 0.08 * dice.normal())
            .clamp(0.2, 1.5),
            illnesses,
            falls_12m,
            gait_problem,
            gait_aid,
            vertigo,
            level,
            fall_p,
            falls_on,
        }
    }

    /// Points of the 26 items whose sum lies in the band of the level.
    pub(super) fn items(&self, dice: &mut Dice) -> Vec<i64> {
        let (low, high) = BANDS[usize::from(self.level) - 1];
        let mut lost = 90 - dice.whole(low, high + 1);
        let mut points = ITEMS.to_vec();
        while lost > 0 {
            let at = dice.whole(0, points.len() as i64) as usize;
            if points[at] > 0 {
                points[at] -= 1;
                lost -= 1;
            }
        }
        points
    }
}

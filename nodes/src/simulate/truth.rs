//! What no model may see: the tables that models are measured against.

use features::table::{Cell, Column, ColumnType, Mode, Table};

use super::cells::{Row, int, real, text};
use super::district::{District, Maker, homes, people};
use super::hazard::Trouble;
use super::money::eligible;
use super::plan::DAY_US;

macro_rules! columns {
    ($($name:ident $kind:ident),*) => {
        &[$(Column { name: stringify!($name), kind: ColumnType::$kind }),*]
    };
}

/// The true probability of a fall in the year from the start, and what then happens.
const FALL: Table = Table {
    name: "fall_true_p",
    mode: Mode::History,
    key: 1,
    columns: columns!(resident_key Text, p Real, falls_12m Int, first_fall_day Int),
};

/// Hazards that begin within the plan's days; those that are not `real` only look like one.
const HAZARD: Table = Table {
    name: "hazard_true",
    mode: Mode::History,
    key: 1,
    columns: columns!(hazard_id Text, dwelling_id Text, resident_key Text, kind Text, start Time,
        end Time, cause Text, real Bool),
};

/// Who is entitled to what by the facts, whatever the register says.
const ELIGIBLE: Table = Table {
    name: "eligible_true",
    mode: Mode::History,
    key: 2,
    columns: columns!(resident_key Text, policy_id Text, amount_fen Int),
};

/// Devices that do not work, of those whose fault begins within the plan's days.
const DEVICE_FAULT: Table = Table {
    name: "device_fault_true",
    mode: Mode::History,
    key: 2,
    columns: columns!(device_id Text, start Time, end Time, fault Text),
};

/// The tables of `truth/`.
pub const TRUTH: [&Table; 4] = [&FALL, &HAZARD, &ELIGIBLE, &DEVICE_FAULT];

const MAKERS: [Maker; 4] = [
    Maker { entities: people, rows: falls },
    Maker { entities: homes, rows: hazards },
    Maker { entities: people, rows: eligible },
    Maker { entities: homes, rows: device_faults },
];

impl District {
    /// All rows of a table of [`TRUTH`]; nothing for another name.
    pub fn truth(&self, table: &str) -> Option<Vec<Row>> {
        let maker = Self::truth_maker(table)?;
        Some(self.make(maker, 0..(maker.entities)(self)))
    }

    pub(super) fn truth_maker(table: &str) -> Option<&'static Maker> {
        let at = TRUTH.iter().position(|each| each.name == table)?;
        MAKERS.get(at)
    }
}

fn falls(district: &District, index: u32, rows: &mut Vec<Row>) {
    let person = &district.people[index as usize];
    if !person.lives() {
        return;
    }
    let health = district.health(index);
    rows.push(vec![
        text(person.key_text()),
        real(health.fall_p, 6),
        int(health.falls_next),
        health.falls_on.map_or(Cell::Null, int),
    ]);
}

fn hazards(district: &District, index: u32, rows: &mut Vec<Row>) {
    let plan = &district.plan;
    let home = &district.homes[index as usize];
    let resident = &district.people[home.resident as usize];
    let end_us = i64::from(plan.days) * DAY_US;
    let within = home.hazards.iter().filter(|each| each.start_us < end_us);
    for (number, hazard) in within.filter(|each| each.trouble.fault().is_none()).enumerate() {
        rows.push(vec![
            text(format!("z{:07}-{}", home.household + 1, number + 1)),
            text(home.dwelling_id()),
            text(resident.key_text()),
            text(hazard.trouble.name()),
            Cell::Time(plan.start_us + hazard.start_us),
            Cell::Time(plan.start_us + hazard.end_us),
            text(hazard.cause),
            Cell::Bool(hazard.trouble != Trouble::SmokeNuisance),
        ]);
    }
}

fn device_faults(district: &District, index: u32, rows: &mut Vec<Row>) {
    let plan = &district.plan;
    let home = &district.homes[index as usize];
    let end_us = i64::from(plan.days) * DAY_US;
    for hazard in home.hazards.iter().filter(|each| each.start_us < end_us) {
        if let Some(device) = hazard.trouble.fault() {
            rows.push(vec![
                text(home.device_id(device)),
                Cell::Time(plan.start_us + hazard.start_us),
                Cell::Time(plan.start_us + hazard.end_us),
                text(hazard.trouble.name()),
            ]);
        }
    }
}

//! The district itself: what is kept of it, and its tables, row by row from each entity's stream.

use std::ops::Range;

use features::civil;
use features::event::Event;
use features::table::Table;

use super::cells::Row;
use super::economy::Economy;
use super::feed::Feed;
use super::ground::Ground;
use super::health::Health;
use super::home::{Household, Living};
use super::kit::Home;
use super::person::Person;
use super::plan::{Plan, PlanError};
use super::policy::POLICIES;
use super::register::Register;
use super::{chronicle, kit, money, organisation, people, places};

/// A district of invented people. Kept are the people, households and monitored homes, some 100
/// bytes a person; everything else is made when it is asked for.
#[derive(Debug)]
pub struct District {
    pub(super) plan: Plan,
    pub(super) households: Vec<Household>,
    pub(super) people: Vec<Person>,
    pub(super) homes: Vec<Home>,
    pub(super) ground: Ground,
}

/// How the rows of a table are made: from how many entities, and the rows of one of them.
pub(super) struct Maker {
    pub(super) entities: fn(&District) -> u32,
    pub(super) rows: fn(&District, u32, &mut Vec<Row>),
}

/// The tables of a district in the order in which one can be loaded, keys before what names them.
const MAKERS: [(&str, Maker); 19] = [
    ("region", Maker { entities: places::region_count, rows: places::region }),
    ("grid", Maker { entities: |district| district.ground.grid_count(), rows: places::grid }),
    (
        "building",
        Maker { entities: |district| district.ground.building_count(), rows: places::building },
    ),
    ("dwelling", Maker { entities: households, rows: places::dwelling }),
    ("household", Maker { entities: households, rows: places::household }),
    ("resident", Maker { entities: people, rows: people::resident }),
    ("relation", Maker { entities: people, rows: people::relations }),
    ("health_summary", Maker { entities: people, rows: people::health }),
    ("assessment", Maker { entities: people, rows: people::assessment }),
    ("device", Maker { entities: homes, rows: kit::devices }),
    ("policy", Maker { entities: |_| POLICIES.len() as u32, rows: money::policy }),
    ("subsidy", Maker { entities: people, rows: money::subsidies }),
    ("tag", Maker { entities: people, rows: people::tags }),
    ("organisation", Maker { entities: organisation::count, rows: organisation::organisation }),
    ("org_month", Maker { entities: organisation::count, rows: organisation::months }),
    ("cemetery", Maker { entities: organisation::count, rows: organisation::cemetery }),
    ("service_record", Maker { entities: people, rows: chronicle::services }),
    ("meal", Maker { entities: people, rows: chronicle::meals }),
    ("visit", Maker { entities: people, rows: chronicle::visits }),
];

pub(super) fn people(district: &District) -> u32 {
    district.people.len() as u32
}

pub(super) fn households(district: &District) -> u32 {
    district.households.len() as u32
}

pub(super) fn homes(district: &District) -> u32 {
    district.homes.len() as u32
}

impl District {
    /// Makes a district. The same plan always makes the same.
    pub fn generate(plan: &Plan) -> Result<Self, PlanError> {
        plan.check()?;
        let seed = plan.seed;
        let mut households: Vec<Household> = Vec::new();
        let mut residents = Vec::with_capacity(plan.people as usize);
        let mut first = 0;
        while first < plan.people {
            let at = households.len() as u32;
            let household =
                Household::new(seed, at, first, plan.people - first, plan.homes_monitored);
            for place in 0..household.elders {
                residents.push(Person::new(seed, first + u32::from(place), at, household, place));
            }
            first += u32::from(household.elders);
            households.push(household);
        }
        let ground = Ground::new(seed, households.len() as u32);
        let mut district =
            Self { plan: *plan, households, people: residents, homes: Vec::new(), ground };
        let monitored = district.households.iter().enumerate().filter(|each| each.1.monitored);
        let monitored: Vec<u32> = monitored.map(|each| each.0 as u32).collect();
        district.homes = monitored
            .into_iter()
            .enumerate()
            .map(|(number, household)| Home::new(&district, number as u32, household))
            .collect();
        Ok(district)
    }

    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// How many residents, households and monitored homes there are.
    pub fn counts(&self) -> (u32, u32, u32) {
        (people(self), households(self), homes(self))
    }

    /// The tables that have rows, in the order in which they can be loaded.
    pub fn tables() -> impl Iterator<Item = &'static Table> {
        MAKERS.iter().filter_map(|each| civil::table(each.0))
    }

    /// All rows of a table, in its column order; nothing for a table that is not simulated.
    pub fn rows(&self, table: &str) -> Option<Vec<Row>> {
        let maker = Self::maker(table)?;
        Some(self.make(maker, 0..(maker.entities)(self)))
    }

    /// The events that arrive on these days, in the order of arrival; see [`Feed`].
    pub fn events(&self, days: Range<u32>) -> impl Iterator<Item = Event> + '_ {
        Feed::new(self, days).map(|arrival| arrival.event)
    }

    pub(super) fn maker(table: &str) -> Option<&'static Maker> {
        MAKERS.iter().find(|each| each.0 == table).map(|each| &each.1)
    }

    pub(super) fn make(&self, maker: &Maker, entities: Range<u32>) -> Vec<Row> {
        let mut rows = Vec::with_capacity(entities.len());
        for entity in entities {
            (maker.rows)(self, entity, &mut rows);
        }
        rows
    }

    pub(super) fn person(&self, index: u32) -> (&Person, Living) {
        let person = &self.people[index as usize];
        (person, self.households[person.household as usize].living)
    }

    pub(super) fn members(&self, household: u32) -> impl Iterator<Item = (u32, &Person)> {
        let Household { first, elders, .. } = self.households[household as usize];
        (first..first + u32::from(elders)).map(|index| (index, &self.people[index as usize]))
    }

    pub(super) fn health(&self, person: u32) -> Health {
        Health::new(self.plan.seed, person, &self.people[person as usize])
    }

    pub(super) fn register(&self, person: u32) -> Register {
        let (one, living) = self.person(person);
        Register::new(self.plan.seed, person, one, living)
    }

    pub(super) fn economy(&self, household: u32) -> Economy {
        let Household { living, size, .. } = self.households[household as usize];
        Economy::new(self.plan.seed, household, living, size)
    }
}

//! What has to be kept of the readings, and since when it is: what the views in force ask for, and
//! nothing else.

use std::collections::BTreeMap;

use crate::entity::EntityKind;
use crate::kind::Kind;
use crate::part::Part;
use crate::topic::Topic;
use crate::view::{FeatureView, Source};
use crate::window::{MINUTE_US, Window};
use crate::zones::{ALWAYS_MIN, Reach, Zones};

/// Which series of an entity.
pub(crate) type Place = (EntityKind, Topic, Part);

/// One series that every entity of a kind keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Demand {
    pub(crate) reach: Reach,
    /// From when on `last` and the lifetime count know every reading.
    pub(crate) since_us: i64,
    pub(crate) generation: u8,
}

/// A demand as a reading of its kind meets it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Kept {
    pub(crate) topic: Topic,
    pub(crate) part: Part,
    pub(crate) demand: Demand,
}

/// Every demand, by place.
#[derive(Clone, Debug)]
pub(crate) struct Demands {
    all: BTreeMap<Place, Demand>,
    /// By place, as [`dense`] numbers them: the demand's place in `list`, one higher; 0 for none.
    index: Vec<u16>,
    list: Vec<Demand>,
    /// How often something was asked for that was not kept; it tells series that were given up.
    generation: u8,
    /// By entity kind and kind of reading: what a reading goes into, in the order of the series.
    of_kind: Vec<Vec<Kept>>,
    /// By entity kind: whether any reading of it is asked for.
    wanted: [bool; EntityKind::ALL.len()],
}

impl Demands {
    /// What the views ask for, known from the first reading on.
    pub(crate) fn of<'a>(views: impl Iterator<Item = &'a FeatureView>) -> Self {
        let demand = |wish: Wish| Demand {
            reach: Reach::new(wish.deepest, ALWAYS_MIN).counting(!wish.values),
            since_us: i64::MIN,
            generation: 0,
        };
        let all = wanted(views).into_iter().map(|(place, wish)| (place, demand(wish))).collect();
        Self::with(all, 0)
    }

    pub(crate) fn with(all: BTreeMap<Place, Demand>, generation: u8) -> Self {
        let mut of_kind = vec![Vec::new(); EntityKind::ALL.len() * Kind::ALL.len()];
        let mut index = vec![0; EntityKind::ALL.len() * (Kind::ALL.len() + 1) * Part::ALL.len()];
        let mut list = Vec::with_capacity(all.len());
        let mut wanted = [false; EntityKind::ALL.len()];
        for ((entity, topic, part), demand) in &all {
            list.push(*demand);
            wanted[*entity as usize] = true;
            index[dense((*entity, *topic, *part))] = list.len() as u16;
            for kind in Kind::ALL.iter().filter(|kind| topic.kind().is_none_or(|of| of == **kind)) {
                of_kind[by_kind(*entity, *kind)].push(Kept {
                    topic: *topic,
                    part: *part,
                    demand: *demand,
                });
            }
        }
        Self { all, index, list, generation, of_kind, wanted }
    }

    /// What these views ask for from now on. What was kept goes on; what is new begins now.
    pub(crate) fn change<'a>(&mut self, views: impl Iterator<Item = &'a FeatureView>, now_us: i64) {
        let zones = Zones::at(now_us);
        // Of the minute that has begun nobody knows the beginning.
        let now_min = now_us.saturating_add(MINUTE_US - 1).div_euclid(MINUTE_US);
        let generation = self.generation.wrapping_add(1);
        let mut all = BTreeMap::new();
        for (place, wish) in wanted(views) {
            let Wish { deepest, values } = wish;
            let fresh = Reach::new(deepest, now_min).counting(!values);
            let demand = match self.all.get(&place) {
                // What was counted before was not looked at: its windows begin now.
                Some(demand) if values && demand.reach.counts_only() => {
                    Demand { reach: fresh, ..*demand }
                }
                Some(demand) if demand.reach.deepest() == deepest => *demand,
                Some(demand) => {
                    let mut demand = *demand;
                    demand.reach.change(deepest, &zones, now_min);
                    demand
                }
                None => {
                    self.generation = generation;
                    Demand { reach: fresh, since_us: now_us, generation }
                }
            };
            all.insert(place, demand);
        }
        *self = Self::with(all, self.generation);
    }

    pub(crate) fn get(&self, place: Place) -> Option<&Demand> {
        let at = usize::from(*self.index.get(dense(place))?);
        self.list.get(at.checked_sub(1)?)
    }

    /// What a reading of an entity goes into.
    pub(crate) fn of_kind(&self, entity: EntityKind, kind: Kind) -> &[Kept] {
        self.of_kind.get(by_kind(entity, kind)).map_or(&[], Vec::as_slice)
    }

    /// Whether any reading of such an entity is asked for.
    pub(crate) fn wants(&self, entity: EntityKind) -> bool {
        self.wanted[entity as usize]
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&Place, &Demand)> {
        self.all.iter()
    }

    pub(crate) fn generation(&self) -> u8 {
        self.generation
    }
}

fn dense((entity, topic, part): Place) -> usize {
    // Every kind together comes behind the last of them.
    let topic = topic.kind().map_or(Kind::ALL.len(), |kind| kind as usize);
    (entity as usize * (Kind::ALL.len() + 1) + topic) * Part::ALL.len() + part as usize
}

fn by_kind(entity: EntityKind, kind: Kind) -> usize {
    entity as usize * Kind::ALL.len() + kind as usize
}

/// What views ask for at a place.
#[derive(Clone, Copy, Debug, Default)]
struct Wish {
    /// The deepest window that any feature reads; `None` where only the newest reading counts.
    deepest: Option<Window>,
    /// Some feature asks what the readings were, and not only how many.
    values: bool,
}

/// What is asked for, by place.
fn wanted<'a>(views: impl Iterator<Item = &'a FeatureView>) -> BTreeMap<Place, Wish> {
    let mut all: BTreeMap<Place, Wish> = BTreeMap::new();
    // The newest reading of each kind is what a portrait shows of a resident; a device's own state is
    // none of it.
    for kind in Kind::ALL.iter().filter(|kind| !matches!(kind, Kind::Heartbeat | Kind::Battery)) {
        all.insert((EntityKind::Resident, Topic::of(*kind), Part::Values), Wish::default());
    }
    for view in views {
        for feature in view.features() {
            let Source::Window { kind, aggregate, window, .. } = &feature.source else { continue };
            let topic = Topic::from(*kind);
            let deepest = window.filter(|_| aggregate.needs_tiles());
            let mut want = |part, deepest: Option<Window>| {
                let held = all.entry((view.entity(), topic, part)).or_default();
                held.deepest = held.deepest.max(deepest);
                // Every other part is made of the values themselves.
                held.values |=
                    part != Part::Values || aggregate.needs_values() && deepest.is_some();
            };
            want(aggregate.part(), deepest);
            // Whether there was ever a reading is known by the newest one.
            want(Part::Values, deepest.filter(|_| aggregate.part() == Part::Values));
        }
    }
    all
}

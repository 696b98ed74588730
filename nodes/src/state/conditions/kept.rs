//! What of the conditions is in a snapshot. Copies share what is large.

use super::battery::Charge;
use super::device::Device;
use super::flapping::Flap;
use super::home::Home;
use super::idle::Idle;
use super::nights::Nights;
use super::packed::Packed;
use super::sight::PlaceId;
use super::timers::Timers;
use super::watch::Watch;
use features::Paged;
use imbl::{OrdMap, OrdSet, Vector};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Something rare that waits for a time of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) enum Timer {
    Watch(PlaceId, u16),
    /// A device and a kind.
    Flap(u32, u8),
    /// A home, and when its bed was left.
    Bed(u32, u32),
    /// A home and a rule over nights.
    Night(u32, u8),
}

/// A group that is silent as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Silence {
    pub(crate) since_us: i64,
    /// Devices that were silent when it was found, or fell silent since.
    pub(crate) silent: u32,
    pub(crate) returned: u32,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Kept {
    /// The log's clock when the engine looked last.
    pub(crate) now_us: i64,
    /// When the log went on after a pause: nobody could be heard before.
    pub(crate) resumed: u32,
    pub(crate) watches: OrdMap<(PlaceId, u16), Arc<Watch>>,
    pub(crate) flaps: OrdMap<(u32, u8), Arc<Flap>>,
    pub(crate) timers: Timers,
    /// By the home's slot.
    pub(crate) homes: Paged<Home>,
    /// Inactivity that was told, by home and rule.
    pub(crate) idle: OrdMap<(u32, u8), Idle>,
    /// By home and rule.
    pub(crate) nights: OrdMap<(u32, u8), Packed<Nights>>,
    /// By the device's slot.
    pub(crate) devices: Paged<Device>,
    /// Names of `device.kind`, counted from 1 in [`Device::class`].
    pub(crate) classes: Vector<Arc<str>>,
    /// Sources that devices are heard by, counted from 1 in [`Device::gateway`].
    pub(crate) gateways: Vector<Arc<str>>,
    pub(crate) silences: OrdMap<Arc<str>, Silence>,
    /// By the device's slot; shorter than the devices where none of those behind has a battery.
    pub(crate) charges: Paged<Charge>,
    /// Devices that were told to be at the end of their life.
    pub(crate) worn: OrdSet<Arc<str>>,
    /// The device of the register whose age was looked at last.
    pub(crate) aged: Arc<str>,
}

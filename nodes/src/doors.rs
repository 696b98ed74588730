//! What the doors of a node share: how much may be on its way, and where refused things go.

use crate::config::Config;
use crate::letterbox::Letterbox;
use crate::mqtt::Figures;
use crate::room::Room;
use crate::state::DeadLetter;
use std::sync::Arc;
use tokio::sync::{Semaphore, mpsc};

#[derive(Debug)]
pub(crate) struct Doors {
    /// Where the doors leave what they could not take.
    pub(crate) letters: Letterbox,
    /// For events and rows on their way into the log.
    pub(crate) room: Room,
    /// Bodies that are being read and worked on.
    pub(crate) bodies: Arc<Semaphore>,
    pub(crate) mqtt: Figures,
}

impl Doors {
    pub(crate) fn open(config: &Config) -> (Self, mpsc::Receiver<DeadLetter>) {
        let (letters, dropped_in) = Letterbox::new();
        let doors = Self {
            letters,
            room: Room::new(config.limits.intake_mib),
            bodies: Arc::new(Semaphore::new(config.limits.bodies_at_once)),
            mqtt: Figures::new(&config.mqtt),
        };
        (doors, dropped_in)
    }
}

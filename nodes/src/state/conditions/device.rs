//! What is remembered of a device: sixteen bytes, of which its heartbeat timer is four.

use serde::{Deserialize, Serialize};

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Life {
    /// Never heard.
    #[default]
    New,
    Alive,
    /// Missing, and told.
    Silent,
    /// Missing, and something larger explains it.
    Explained,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Battery {
    #[default]
    Good,
    Low,
    Critical,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Device {
    /// The tick of the newest sign of life.
    pub(crate) seen: u32,
    /// By whom it was heard last, and a hash of the name, so that the name need not be looked at.
    pub(crate) gateway: u32,
    pub(crate) gateway_hash: u32,
    /// The lower half of the newest boot id.
    pub(crate) boot: u16,
    /// 0 for none.
    pub(crate) class: u8,
    /// Bits: life 0 and 1, battery 2 and 3, the side of its last reading 4, of which kind 5 to 7.
    state: u8,
}

impl Device {
    pub(crate) fn life(&self) -> Life {
        match self.state & 0b11 {
            0 => Life::New,
            1 => Life::Alive,
            2 => Life::Silent,
            _ => Life::Explained,
        }
    }

    pub(crate) fn set_life(&mut self, life: Life) {
        self.state = self.state & !0b11 | life as u8;
    }

    pub(crate) fn battery(&self) -> Battery {
        match self.state >> 2 & 0b11 {
            0 => Battery::Good,
            1 => Battery::Low,
            _ => Battery::Critical,
        }
    }

    /// On which side of its level the last reading of a kind was; the kind is one of
    /// [`super::flapping::number_of`], 0 for none yet.
    pub(crate) fn side(&self) -> (u8, bool) {
        (self.state >> 5, self.state >> 4 & 1 == 1)
    }

    pub(crate) fn set_side(&mut self, kind: u8, is_over: bool) {
        self.state = self.state & 0x0f | u8::from(is_over) << 4 | kind << 5;
    }

    pub(crate) fn set_battery(&mut self, battery: Battery) {
        self.state = self.state & !0b1100 | (battery as u8) << 2;
    }
}

/// FNV-1a.
pub(crate) fn hash_of(name: &str) -> u32 {
    name.bytes().fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_is_sixteen_bytes_with_two_states_of_its_own() {
        assert_eq!(size_of::<Device>(), 16);
        let mut device = Device::default();
        device.set_battery(Battery::Low);
        for life in [Life::Alive, Life::Silent, Life::Explained, Life::New] {
            device.set_life(life);
            assert_eq!((device.life(), device.battery()), (life, Battery::Low));
        }
        device.set_side(7, true);
        device.set_battery(Battery::Critical);
        assert_eq!((device.life(), device.battery()), (Life::New, Battery::Critical));
        assert_eq!(device.side(), (7, true));
    }
}

//! How much of the machine's time is free, by the kernel's books.

/// Time that was free and all time, since the machine started, in the kernel's ticks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Load {
    free: u64,
    all: u64,
}

impl Load {
    /// Nothing where the kernel keeps no such books.
    pub(crate) fn now() -> Option<Self> {
        Self::parse(&std::fs::read_to_string("/proc/stat").ok()?, is_nice())
    }

    /// user nice system idle iowait irq softirq steal. What runs at a lower priority gives way and
    /// counts as free, unless this process is one of those.
    fn parse(text: &str, is_nice: bool) -> Option<Self> {
        let line = text.lines().next()?.strip_prefix("cpu ")?;
        let ticks: Vec<u64> =
            line.split_whitespace().take(8).map(str::parse).collect::<Result<_, _>>().ok()?;
        let gives_way = if is_nice { 0 } else { *ticks.get(1)? };
        let free = gives_way + ticks.get(3)? + ticks.get(4)?;
        Some(Self { free, all: ticks.iter().sum() })
    }

    /// The share that was free between two looks; nothing where no time has passed.
    pub(crate) fn free_since(self, before: Self) -> Option<f64> {
        let all = self.all.saturating_sub(before.all);
        (all > 0).then(|| self.free.saturating_sub(before.free) as f64 / all as f64)
    }
}

/// Whether the calling thread was started to give way to others.
fn is_nice() -> bool {
    rustix::process::getpriority_process(None).is_ok_and(|nice| nice > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_share_is_of_the_time_between() {
        let at = |text: &str| Load::parse(text, false).unwrap();
        let before = at("cpu  100 0 50 800 50 0 0 0 0 0\ncpu0 1 2\n");
        let after = at("cpu  130 10 60 840 55 0 5 0 9 9\n");
        assert_eq!(after.free_since(before), Some(0.55));
        assert_eq!(after.free_since(after), None);
        let nice = |text: &str| Load::parse(text, true).unwrap();
        let [before, after] = ["cpu 100 0 0 800 0 0 0 0", "cpu 100 60 0 840 0 0 0 0"].map(nice);
        assert_eq!(after.free_since(before), Some(0.4));
        assert!(Load::parse("intr 1 2 3", false).is_none());
    }
}

//! Who waits, in the order in which they go on: the more urgent first, of one priority the one whose
//! deadline is nearest, of one deadline the one that came first.

use models::Priority;
use std::collections::BTreeMap;
use std::time::Instant;

/// A bounded queue. The bound holds for each priority by itself, so that a flood of one kind leaves
/// room for the others.
#[derive(Debug)]
pub(crate) struct Queue<T> {
    waiting: BTreeMap<(Priority, Instant, u64), T>,
    counts: [usize; Priority::ALL.len()],
    limit: usize,
    /// Entries that ever came.
    came: u64,
}

/// There is no place left among those of this priority.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Full;

impl<T> Queue<T> {
    pub(crate) fn new(limit: usize) -> Self {
        Self { waiting: BTreeMap::new(), counts: [0; Priority::ALL.len()], limit, came: 0 }
    }

    pub(crate) fn push(&mut self, priority: Priority, due: Instant, item: T) -> Result<(), Full> {
        let count = &mut self.counts[priority as usize];
        if *count >= self.limit {
            return Err(Full);
        }
        *count += 1;
        self.came += 1;
        self.waiting.insert((priority, due, self.came), item);
        Ok(())
    }

    /// Takes the next one out, with the moment by which it had to go on.
    pub(crate) fn pop(&mut self) -> Option<(Instant, T)> {
        let ((priority, due, _), item) = self.waiting.pop_first()?;
        self.counts[priority as usize] -= 1;
        Some((due, item))
    }

    /// How many would go on before a new one.
    pub(crate) fn ahead_of(&self, priority: Priority, due: Instant) -> usize {
        self.waiting.range(..(priority, due, u64::MAX)).count()
    }

    pub(crate) fn len(&self) -> usize {
        self.waiting.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn the_urgent_go_first_then_the_pressed_then_who_came_first() {
        let now = Instant::now();
        let in_ms = |ms| now + Duration::from_millis(ms);
        let mut queue = Queue::new(8);
        for (priority, due, name) in [
            (Priority::Batch, 5, "batch, due soon"),
            (Priority::Normal, 90, "normal, first"),
            (Priority::Batch, 90, "batch, first"),
            (Priority::Normal, 90, "normal, second"),
            (Priority::Safety, 900, "safety, due late"),
            (Priority::Normal, 20, "normal, due soon"),
        ] {
            queue.push(priority, in_ms(due), name).unwrap();
        }
        assert_eq!(queue.ahead_of(Priority::Safety, in_ms(0)), 0);
        assert_eq!(queue.ahead_of(Priority::Normal, in_ms(50)), 2);
        assert_eq!(queue.ahead_of(Priority::Batch, in_ms(99)), 6);
        let order: Vec<_> = std::iter::from_fn(|| queue.pop()).map(|(_, name)| name).collect();
        assert_eq!(
            order,
            [
                "safety, due late",
                "normal, due soon",
                "normal, first",
                "normal, second",
                "batch, due soon",
                "batch, first"
            ]
        );
        assert!(queue.is_empty());
    }

    #[test]
    fn a_flood_of_batch_work_leaves_the_others_their_places() {
        let now = Instant::now();
        let mut queue = Queue::new(2);
        for _ in 0..2 {
            queue.push(Priority::Batch, now, ()).unwrap();
        }
        assert_eq!(queue.push(Priority::Batch, now, ()), Err(Full));
        assert_eq!(queue.push(Priority::Normal, now, ()), Ok(()));
        assert_eq!(queue.push(Priority::Safety, now, ()), Ok(()));
        assert_eq!(queue.len(), 4);
        while queue.pop().is_some() {}
        assert_eq!(queue.push(Priority::Batch, now, ()), Ok(()));
    }
}

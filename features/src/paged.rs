//! A list whose copies are cheap: two copies share its pages until one of them writes.
//!
//! A snapshot is taken of a copy while the log goes on. So a copy must cost next to nothing, and the
//! first write to a shared page as little as can be: a page is small, and pages hang in sheaves, so
//! that a copy counts up a few hundred sheaves where there are a million things.

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use serde::de::{Deserialize, Deserializer, SeqAccess, Visitor};
use serde::ser::{Serialize, Serializer};

/// With the two counts in front of a page its size is one that an allocator has.
const PAGE: usize = 15;
const PAGES_IN_SHEAF: usize = 256;
const SHEAF: usize = PAGE * PAGES_IN_SHEAF;

/// Behind the length of the list things are as by default.
type Page<T> = Arc<[T; PAGE]>;

/// A list that only grows.
#[derive(Clone, Debug)]
pub struct Paged<T> {
    sheaves: Vec<Arc<Vec<Page<T>>>>,
    len: usize,
}

impl<T> Default for Paged<T> {
    fn default() -> Self {
        Self { sheaves: Vec::new(), len: 0 }
    }
}

impl<T: Clone + Default> Paged<T> {
    pub fn len(&self) -> usize {
        self.len
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub fn get(&self, at: usize) -> Option<&T> {
        let page = self.sheaves.get(at / SHEAF)?.get(at / PAGE % PAGES_IN_SHEAF)?;
        page.get(at % PAGE).filter(|_| at < self.len)
    }

    /// The thing, in a page that no copy shares any more.
    pub fn get_mut(&mut self, at: usize) -> Option<&mut T> {
        if at >= self.len {
            return None;
        }
        let sheaf = Arc::make_mut(self.sheaves.get_mut(at / SHEAF)?);
        let page = Arc::make_mut(sheaf.get_mut(at / PAGE % PAGES_IN_SHEAF)?);
        page.get_mut(at % PAGE)
    }

    pub fn push(&mut self, thing: T) {
        if self.len.is_multiple_of(SHEAF) {
            self.sheaves.push(Arc::default());
        }
        if let Some(sheaf) = self.sheaves.last_mut() {
            let sheaf = Arc::make_mut(sheaf);
            if self.len.is_multiple_of(PAGE) {
                sheaf.push(Arc::new(std::array::from_fn(|_| T::default())));
            }
            if let Some(page) = sheaf.last_mut()
                && let Some(place) = Arc::make_mut(page).get_mut(self.len % PAGE)
            {
                *place = thing;
                self.len += 1;
            }
        }
    }

    pub fn iter(&self) -> impl Iterator<Item = &T> {
        let pages = self.sheaves.iter().flat_map(|sheaf| sheaf.iter());
        pages.flat_map(|page| page.iter()).take(self.len)
    }

    /// What the pages take, without what the things have on the heap.
    pub fn heap_bytes(&self) -> usize {
        let page = size_of::<Page<T>>() + size_of::<[T; PAGE]>() + 2 * size_of::<usize>();
        self.len.div_ceil(PAGE) * page
    }
}

impl<T: Clone + Default + PartialEq> PartialEq for Paged<T> {
    fn eq(&self, other: &Self) -> bool {
        self.len == other.len && self.iter().eq(other.iter())
    }
}

/// As a list.
impl<T: Clone + Default + Serialize> Serialize for Paged<T> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        // With its length: formats that need it first cannot count an iterator of pages.
        let mut list = to.serialize_seq(Some(self.len))?;
        for thing in self.iter() {
            serde::ser::SerializeSeq::serialize_element(&mut list, thing)?;
        }
        serde::ser::SerializeSeq::end(list)
    }
}

impl<'de, T: Clone + Default + Deserialize<'de>> Deserialize<'de> for Paged<T> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct List<T>(PhantomData<T>);
        impl<'de, T: Clone + Default + Deserialize<'de>> Visitor<'de> for List<T> {
            type Value = Paged<T>;

            fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str("a list")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut from: A) -> Result<Paged<T>, A::Error> {
                let mut list = Paged::default();
                while let Some(thing) = from.next_element()? {
                    list.push(thing);
                }
                Ok(list)
            }
        }
        from.deserialize_seq(List(PhantomData))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_does_not_see_what_is_written_later() {
        let mut list = Paged::default();
        for number in 0..3 * SHEAF + PAGE + 3 {
            assert_eq!(list.get(number), None);
            list.push(number);
        }
        let copy = list.clone();
        for at in [0, PAGE, SHEAF - 1, SHEAF, 3 * SHEAF + PAGE + 2] {
            *list.get_mut(at).unwrap() += 1_000_000;
        }
        list.push(7);
        assert!(copy.iter().copied().eq(0..3 * SHEAF + PAGE + 3));
        assert_eq!((copy.len(), list.len()), (3 * SHEAF + PAGE + 3, 3 * SHEAF + PAGE + 4));
        assert_eq!(list.iter().filter(|number| **number >= 1_000_000).count(), 5);
        assert_eq!(list.get(SHEAF), Some(&(SHEAF + 1_000_000)));
        assert_eq!(list.get_mut(4 * SHEAF), None);
    }
}

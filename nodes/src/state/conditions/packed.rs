//! A thing in few bytes: for what every home has and few events touch.

use serde::de::{Deserialize, DeserializeOwned, Deserializer};
use serde::ser::{Serialize, Serializer};
use std::marker::PhantomData;
use std::sync::Arc;

/// More than most need while they are written.
const ROOM_BYTES: usize = 128;

/// Stored as the thing itself. Copies share the bytes.
#[derive(Debug)]
pub(crate) struct Packed<T>(Arc<[u8]>, PhantomData<T>);

impl<T: Serialize + DeserializeOwned + Default> Packed<T> {
    pub(crate) fn of(thing: &T) -> Self {
        // Into memory nothing fails that has a form at all.
        let bytes = postcard::to_extend(thing, Vec::with_capacity(ROOM_BYTES)).unwrap_or_default();
        Self(bytes.into(), PhantomData)
    }

    pub(crate) fn get(&self) -> T {
        postcard::from_bytes(&self.0).unwrap_or_default()
    }
}

impl<T> Clone for Packed<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0), PhantomData)
    }
}

impl<T> PartialEq for Packed<T> {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}

impl<T: Serialize + DeserializeOwned + Default> Serialize for Packed<T> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        self.get().serialize(to)
    }
}

impl<'de, T: Serialize + DeserializeOwned + Default> Deserialize<'de> for Packed<T> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        Ok(Self::of(&T::deserialize(from)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_stored_as_the_thing_itself() {
        let thing: (i64, Vec<i64>) = (-7, vec![1, 2_000_000, i64::MIN]);
        let packed = Packed::of(&thing);
        assert_eq!(packed.get(), thing);
        let bytes = postcard::to_stdvec(&thing).unwrap();
        assert_eq!(postcard::to_stdvec(&packed).unwrap(), bytes);
        let again: Packed<(i64, Vec<i64>)> = postcard::from_bytes(&bytes).unwrap();
        assert_eq!(again, packed);
    }
}

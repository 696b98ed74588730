//! Lists by slot, which grow with the district.

/// Makes a list at least so long, with room for an eighth more: after doubling, a quarter of it would stay
/// empty.
pub(crate) fn extend_to<T: Clone>(list: &mut Vec<T>, length: usize, filler: T) {
    if list.len() >= length {
        return;
    }
    if list.capacity() < length {
        list.reserve_exact(length + length / 8 - list.len());
    }
    list.resize(length, filler);
}

//! Just enough of the protocol-buffers wire format to look into an ONNX file and change a node.

/// One field of a message. Fixed-width values are skipped over: nothing here reads them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Field<'a> {
    pub(crate) number: u64,
    pub(crate) value: Value<'a>,
    /// The field as it stood, tag included, so that it can be copied unchanged.
    pub(crate) raw: &'a [u8],
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Value<'a> {
    Varint(u64),
    Bytes(&'a [u8]),
    Fixed,
}

impl<'a> Field<'a> {
    pub(crate) fn bytes(&self) -> Option<&'a [u8]> {
        match self.value {
            Value::Bytes(bytes) => Some(bytes),
            Value::Varint(_) | Value::Fixed => None,
        }
    }

    pub(crate) fn text(&self) -> Option<&'a str> {
        self.bytes().and_then(|bytes| std::str::from_utf8(bytes).ok())
    }
}

/// The most fields of one message: the largest attribute of the largest file that is taken.
const FIELDS_MAX: usize = 4 * 1024 * 1024;
/// The highest number a field can have.
const NUMBER_MAX: u64 = (1 << 29) - 1;

/// The fields of a message, in order; `None` where the bytes are no message, or past its limit.
pub(crate) fn fields(message: &[u8]) -> Option<Vec<Field<'_>>> {
    let mut all = Vec::new();
    for field in (Fields { rest: message }) {
        if all.len() == FIELDS_MAX {
            return None;
        }
        all.push(field?);
    }
    Some(all)
}

/// The fields of a message one by one, without holding them; `None` at the place that cannot be read.
pub(crate) fn each_field(message: &[u8]) -> Fields<'_> {
    Fields { rest: message }
}

#[derive(Clone, Debug)]
pub(crate) struct Fields<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Fields<'a> {
    type Item = Option<Field<'a>>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let field = read_field(&mut self.rest);
        if field.is_none() {
            self.rest = &[];
        }
        Some(field)
    }
}

/// Groups, which nobody writes any more, and numbers that other readers cut off are not read: what is
/// checked here must be what the runtime sees.
fn read_field<'a>(rest: &mut &'a [u8]) -> Option<Field<'a>> {
    let before = *rest;
    let tag = read_varint(rest)?;
    let value = match tag & 7 {
        0 => Value::Varint(read_varint(rest)?),
        1 => skip(rest, 8)?,
        2 => {
            let length = usize::try_from(read_varint(rest)?).ok()?;
            let (bytes, tail) = rest.split_at_checked(length)?;
            *rest = tail;
            Value::Bytes(bytes)
        }
        5 => skip(rest, 4)?,
        _ => return None,
    };
    let raw = before.get(..before.len() - rest.len())?;
    let number = tag >> 3;
    (1..=NUMBER_MAX).contains(&number).then_some(Field { number, value, raw })
}

fn skip<'a>(rest: &mut &[u8], length: usize) -> Option<Value<'a>> {
    *rest = rest.get(length..)?;
    Some(Value::Fixed)
}

pub(crate) fn read_varint(rest: &mut &[u8]) -> Option<u64> {
    let mut number = 0_u64;
    for shift in (0..64).step_by(7) {
        let (byte, tail) = rest.split_first()?;
        *rest = tail;
        number |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

pub(crate) fn write_varint(into: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        into.push((number & 0x7f) as u8 | 0x80);
        number >>= 7;
    }
    into.push(number as u8);
}

/// A length-delimited field: text, bytes or a message.
pub(crate) fn write_bytes(into: &mut Vec<u8>, number: u64, bytes: &[u8]) {
    write_varint(into, number << 3 | 2);
    write_varint(into, bytes.len() as u64);
    into.extend_from_slice(bytes);
}

pub(crate) fn write_number(into: &mut Vec<u8>, number: u64, value: u64) {
    write_varint(into, number << 3);
    write_varint(into, value);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_written_is_read(value in any::<u64>(), bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let mut message = Vec::new();
            write_number(&mut message, 3, value);
            write_bytes(&mut message, 1000, &bytes);
            let read = fields(&message).unwrap();
            assert!(matches!(read[0].value, Value::Varint(got) if got == value));
            assert_eq!(read[1].number, 1000);
            assert_eq!(read[1].bytes().unwrap(), bytes);
            assert_eq!([read[0].raw, read[1].raw].concat(), message);
        }

        #[test]
        fn any_bytes_are_survived(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
            let _ = fields(&bytes);
        }
    }
}

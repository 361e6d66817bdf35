//! Strict CBOR in: RFC 8949, section 4.2.1, and only the types a statement uses.
//!
//! Integers, byte and text strings, arrays, maps with integer keys, booleans and null; shortest
//! heads, definite lengths, keys in ascending order of their encoding (so none twice). Everything
//! else is refused, so that a statement has exactly one encoding. Nothing is allocated by a count
//! before the entries are there.

use super::Reject;
use std::vec::Vec;

/// Maps and arrays inside each other; a statement needs six levels.
const MAX_DEPTH: usize = 8;

/// A decoded item that borrows its strings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Value<'b> {
    Uint(u64),
    Negative(i64),
    Bytes(&'b [u8]),
    Text(&'b str),
    Array(Vec<Self>),
    Map(Vec<(i64, Self)>),
    Bool(bool),
    Null,
}

/// Reads one item that takes up all bytes.
pub(super) fn parse(bytes: &[u8]) -> Result<Value<'_>, Reject> {
    let mut reader = Reader { bytes, at: 0 };
    let value = reader.value(MAX_DEPTH)?;
    if reader.at == bytes.len() { Ok(value) } else { reader.fail("bytes behind the end") }
}

struct Reader<'b> {
    bytes: &'b [u8],
    at: usize,
}

impl<'b> Reader<'b> {
    fn fail<T>(&self, why: &'static str) -> Result<T, Reject> {
        Err(Reject::Encoding { at: self.at, why })
    }

    fn take(&mut self, count: u64) -> Result<&'b [u8], Reject> {
        let end = usize::try_from(count).ok().and_then(|count| self.at.checked_add(count));
        match end.and_then(|end| Some((end, self.bytes.get(self.at..end)?))) {
            Some((end, taken)) => {
                self.at = end;
                Ok(taken)
            }
            None => self.fail("cut short"),
        }
    }

    /// Major type and argument in its shortest form.
    fn head(&mut self) -> Result<(u8, u64), Reject> {
        let [first] = *self.take(1)? else { return self.fail("cut short") };
        let (major, info) = (first >> 5, first & 0x1F);
        let extra = match info {
            0..=23 => return Ok((major, info.into())),
            24..=27 => 1_u64 << (info & 3),
            _ => return self.fail("reserved or indefinite length"),
        };
        let argument =
            self.take(extra)?.iter().fold(0_u64, |sum, byte| (sum << 8) | u64::from(*byte));
        let least = match info {
            24 => 24,
            25 => 1 << 8,
            26 => 1 << 16,
            _ => 1 << 32,
        };
        if argument < least { self.fail("not the shortest form") } else { Ok((major, argument)) }
    }

    fn value(&mut self, depth: usize) -> Result<Value<'b>, Reject> {
        let Some(below) = depth.checked_sub(1) else { return self.fail("too deep") };
        let (major, argument) = self.head()?;
        match major {
            0 => Ok(Value::Uint(argument)),
            1 => Ok(Value::Negative(self.negative(argument)?)),
            2 => Ok(Value::Bytes(self.take(argument)?)),
            3 => match core::str::from_utf8(self.take(argument)?) {
                Ok(text) => Ok(Value::Text(text)),
                Err(_) => self.fail("text is not UTF-8"),
            },
            4 => self.array(argument, below),
            5 => self.map(argument, below),
            7 => match argument {
                20 => Ok(Value::Bool(false)),
                21 => Ok(Value::Bool(true)),
                22 => Ok(Value::Null),
                _ => self.fail("a type that no statement has"),
            },
            _ => self.fail("a type that no statement has"),
        }
    }

    fn negative(&self, argument: u64) -> Result<i64, Reject> {
        match i64::try_from(argument) {
            Ok(argument) => Ok(!argument),
            Err(_) => self.fail("integer out of range"),
        }
    }

    fn array(&mut self, count: u64, depth: usize) -> Result<Value<'b>, Reject> {
        let mut items = Vec::new();
        for _ in 0..count {
            items.push(self.value(depth)?);
        }
        Ok(Value::Array(items))
    }

    fn map(&mut self, count: u64, depth: usize) -> Result<Value<'b>, Reject> {
        let mut pairs: Vec<(i64, Value<'b>)> = Vec::new();
        for _ in 0..count {
            let key = self.key()?;
            if pairs.last().is_some_and(|(last, _)| rank(*last) >= rank(key)) {
                return self.fail("key out of order or twice");
            }
            pairs.push((key, self.value(depth)?));
        }
        Ok(Value::Map(pairs))
    }

    fn key(&mut self) -> Result<i64, Reject> {
        match self.head()? {
            (0, argument) => match i64::try_from(argument) {
                Ok(key) => Ok(key),
                Err(_) => self.fail("key out of range"),
            },
            (1, argument) => self.negative(argument),
            _ => self.fail("key is no integer"),
        }
    }
}

/// Orders keys as their encodings are ordered: 0, 1, 2, ... and then -1, -2, ...
const fn rank(key: i64) -> (bool, i64) {
    (key < 0, if key < 0 { !key } else { key })
}

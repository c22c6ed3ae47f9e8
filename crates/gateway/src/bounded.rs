//! JSON of which so many values are read and no more: what takes two bytes on the wire may take forty times that here.

use std::cell::Cell;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

/// Why there is no value.
#[derive(Debug)]
pub(crate) enum Unread {
    /// It has more than so many values.
    TooMany,
    /// It is no JSON.
    Malformed,
}

/// Reads JSON of at most `most` values, those in lists and objects counted.
pub(crate) fn read(bytes: &[u8], most: usize) -> Result<Value, Unread> {
    let left = Cell::new(most);
    let mut from = serde_json::Deserializer::from_slice(bytes);
    let read = Bounded { left: &left }.deserialize(&mut from).and_then(|value| from.end().map(|()| value));
    read.map_err(|error| if left.get() == 0 && error.is_data() { Unread::TooMany } else { Unread::Malformed })
}

#[derive(Clone, Copy)]
struct Bounded<'a> {
    left: &'a Cell<usize>,
}

impl<'de> DeserializeSeed<'de> for Bounded<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Value, D::Error> {
        let left = self.left.get().checked_sub(1).ok_or_else(|| D::Error::custom("too many values"))?;
        self.left.set(left);
        from.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Bounded<'_> {
    type Value = Value;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("JSON")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Value, A::Error> {
        let mut values = Vec::new();
        while let Some(value) = list.next_element_seed(self)? {
            values.push(value);
        }
        Ok(values.into())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Value, A::Error> {
        let mut values = Map::new();
        while let Some(name) = object.next_key::<String>()? {
            values.insert(name, object.next_value_seed(self)?);
        }
        Ok(values.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_values_as_may_be_are_read_as_they_are_and_no_more() {
        let text = r#"{"a": [1, -2, 2.5, "x\n", null, true], "b": {"c": []}, "a\u0041": ""}"#;
        let whole: Value = serde_json::from_str(text).unwrap();
        assert_eq!(read(text.as_bytes(), 11).unwrap(), whole);
        assert!(matches!(read(text.as_bytes(), 10), Err(Unread::TooMany)));
        for bad in ["", "{", "[1,]", "1 2", "x", "[[1], [2]"] {
            assert!(matches!(read(bad.as_bytes(), 9), Err(Unread::Malformed)), "{bad}");
        }
        let deep = "[".repeat(1_000_000);
        assert!(matches!(read(deep.as_bytes(), usize::MAX), Err(Unread::Malformed)), "no deeper than the stack is");
    }
}

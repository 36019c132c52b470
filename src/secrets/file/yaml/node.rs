//! The values of a YAML text: first the shape of each, then, with the shapes, the text of each scalar.

use std::cell::Cell;
use std::fmt;

use serde::de::{
    self, Deserialize, DeserializeSeed, Deserializer, EnumAccess, IgnoredAny, MapAccess, SeqAccess, Visitor,
};
use zeroize::Zeroizing;

use crate::clock::Deadline;

// The errors of the visitors here. `problem` in the parent module searches for them in the errors of serde, which adds
// the position.
pub(super) const CUSTOM_TAG: &str = "a value has a custom tag, which a secrets file must not have";
pub(super) const BAD_KEY: &str = "a key is a list or a map";
pub(super) const TOO_LARGE: &str = "the aliases make the document too large";
pub(super) const UNSTABLE: &str = "the document cannot be read";

/// A value with the text of its scalars.
pub(in crate::secrets::file) enum Node {
    Null,
    Bool(Zeroizing<String>),
    Number(Zeroizing<String>),
    Text(Zeroizing<String>),
    List(Vec<Node>),
    Map(Vec<Pair>),
}

/// An entry of a map, in the order of the file.
pub(in crate::secrets::file) struct Pair {
    pub(in crate::secrets::file) key: YamlKey,
    pub(in crate::secrets::file) value: Node,
}

pub(in crate::secrets::file) struct YamlKey {
    pub(in crate::secrets::file) text: String,
    /// Whether it is `<<` without quotes, whose value is merged into the map.
    pub(in crate::secrets::file) merge: bool,
}

/// The limits of one document: its size with aliases expanded, and the deadline.
pub(super) struct Budget {
    left: Cell<usize>,
    deadline: Deadline,
    spent: Cell<u32>,
}

impl Budget {
    pub(super) fn new(size: usize, deadline: Deadline) -> Budget {
        Budget { left: Cell::new(size), deadline, spent: Cell::new(0) }
    }

    fn spend<E: de::Error>(&self, cost: usize) -> Result<(), E> {
        self.left.set(self.left.get().checked_sub(cost).ok_or_else(|| E::custom(TOO_LARGE))?);
        self.spent.set(self.spent.get().wrapping_add(1));
        match self.spent.get().is_multiple_of(1024) && self.deadline.has_passed() {
            true => Err(E::custom(TOO_LARGE)),
            false => Ok(()),
        }
    }
}

/// The kind of a value without its content.
pub(super) enum Shape {
    Null,
    Bool,
    Number,
    Text,
    List(Vec<Shape>),
    /// The shapes of the values; keys are always strings.
    Map(Vec<Shape>),
}

#[derive(Clone, Copy)]
pub(super) struct ShapeSeed<'a> {
    pub(super) budget: &'a Budget,
}

impl<'de> DeserializeSeed<'de> for ShapeSeed<'_> {
    type Value = Shape;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Shape, D::Error> {
        self.budget.spend(1)?;
        deserializer.deserialize_any(self)
    }
}

/// Accepts every value, as the error for one that is not accepted would quote it.
impl<'de> Visitor<'de> for ShapeSeed<'_> {
    type Value = Shape;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Shape, E> {
        Ok(Shape::Null)
    }

    fn visit_none<E>(self) -> Result<Shape, E> {
        Ok(Shape::Null)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Shape, E> {
        Ok(Shape::Bool)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Shape, E> {
        Ok(Shape::Number)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Shape, E> {
        Ok(Shape::Number)
    }

    fn visit_i128<E>(self, _: i128) -> Result<Shape, E> {
        Ok(Shape::Number)
    }

    fn visit_u128<E>(self, _: u128) -> Result<Shape, E> {
        Ok(Shape::Number)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Shape, E> {
        Ok(Shape::Number)
    }

    fn visit_str<E>(self, _: &str) -> Result<Shape, E> {
        Ok(Shape::Text)
    }

    fn visit_string<E>(self, text: String) -> Result<Shape, E> {
        drop(Zeroizing::new(text));
        Ok(Shape::Text)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Shape, A::Error> {
        let mut shapes = Vec::new();
        while let Some(shape) = seq.next_element_seed(self)? {
            shapes.push(shape);
        }
        Ok(Shape::List(shapes))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Shape, A::Error> {
        let mut shapes = Vec::new();
        while let Some(key) = map.next_key_seed(self)? {
            if let Shape::List(_) | Shape::Map(_) = key {
                return Err(de::Error::custom(BAD_KEY));
            }
            shapes.push(map.next_value_seed(self)?);
        }
        Ok(Shape::Map(shapes))
    }

    fn visit_enum<A: EnumAccess<'de>>(self, _: A) -> Result<Shape, A::Error> {
        Err(de::Error::custom(CUSTOM_TAG))
    }
}

/// Reads a value whose shape is known.
#[derive(Clone, Copy)]
pub(super) struct NodeSeed<'a> {
    pub(super) shape: &'a Shape,
    pub(super) source: &'a str,
    pub(super) budget: &'a Budget,
}

impl<'de> DeserializeSeed<'de> for NodeSeed<'_> {
    type Value = Node;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Node, D::Error> {
        match self.shape {
            Shape::Null => IgnoredAny::deserialize(deserializer).map(|_| Node::Null),
            Shape::Bool | Shape::Number | Shape::Text => deserializer.deserialize_str(self),
            Shape::List(_) => deserializer.deserialize_seq(self),
            Shape::Map(_) => deserializer.deserialize_map(self),
        }
    }
}

impl<'de> Visitor<'de> for NodeSeed<'_> {
    type Value = Node;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the value that was there before")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Node, E> {
        self.budget.spend(text.len())?;
        let text = Zeroizing::new(text.to_owned());
        Ok(match self.shape {
            Shape::Bool => Node::Bool(text),
            Shape::Number => Node::Number(text),
            _ => Node::Text(text),
        })
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Node, A::Error> {
        let Shape::List(shapes) = self.shape else { return Err(de::Error::custom(UNSTABLE)) };
        let mut nodes = Vec::with_capacity(shapes.len());
        for shape in shapes {
            let node = seq.next_element_seed(NodeSeed { shape, ..self })?;
            nodes.push(node.ok_or_else(|| de::Error::custom(UNSTABLE))?);
        }
        Ok(Node::List(nodes))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Node, A::Error> {
        let Shape::Map(shapes) = self.shape else { return Err(de::Error::custom(UNSTABLE)) };
        let mut pairs = Vec::with_capacity(shapes.len());
        for shape in shapes {
            let key = map.next_key_seed(KeySeed(self))?.ok_or_else(|| de::Error::custom(UNSTABLE))?;
            let value = map.next_value_seed(NodeSeed { shape, ..self })?;
            pairs.push(Pair { key, value });
        }
        Ok(Node::Map(pairs))
    }
}

struct KeySeed<'a>(NodeSeed<'a>);

impl<'de> DeserializeSeed<'de> for KeySeed<'_> {
    type Value = YamlKey;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<YamlKey, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for KeySeed<'_> {
    type Value = YamlKey;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<YamlKey, E> {
        self.0.budget.spend(text.len())?;
        Ok(YamlKey { text: text.to_owned(), merge: false })
    }

    /// A key that is a slice of the source, as every key without quotes is.
    fn visit_borrowed_str<E: de::Error>(self, text: &'de str) -> Result<YamlKey, E> {
        let offset = text.as_ptr().addr().wrapping_sub(self.0.source.as_ptr().addr());
        let quoted = self.0.source.get(..offset).is_none_or(|before| before.ends_with(['"', '\'']));
        let key = self.visit_str::<E>(text)?;
        Ok(YamlKey { merge: key.text == "<<" && !quoted, ..key })
    }
}

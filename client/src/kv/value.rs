//! Values, from anything that is bytes or text.

use bytes::Bytes;
use etcdium_core::Key;

/// A value: any string of bytes, empty or not.
///
/// Made from anything that is bytes or text. A `String`, `Vec<u8>` or `Bytes` is taken over without copying, what is
/// borrowed is copied; `Bytes::from_static` avoids that for literals.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Value(Bytes);

impl Value {
    /// The value as reference-counted bytes, without copying.
    pub fn into_bytes(self) -> Bytes {
        self.0
    }
}

impl AsRef<[u8]> for Value {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl From<Value> for Bytes {
    fn from(value: Value) -> Self {
        value.0
    }
}

impl From<Bytes> for Value {
    fn from(bytes: Bytes) -> Self {
        Self(bytes)
    }
}

impl From<&Bytes> for Value {
    fn from(bytes: &Bytes) -> Self {
        Self(bytes.clone())
    }
}

impl From<Key> for Value {
    fn from(key: Key) -> Self {
        Self(key.into_bytes())
    }
}

impl From<Vec<u8>> for Value {
    fn from(bytes: Vec<u8>) -> Self {
        Self(bytes.into())
    }
}

impl From<&Vec<u8>> for Value {
    fn from(bytes: &Vec<u8>) -> Self {
        bytes.as_slice().into()
    }
}

impl From<&[u8]> for Value {
    fn from(bytes: &[u8]) -> Self {
        Self(Bytes::copy_from_slice(bytes))
    }
}

impl<const N: usize> From<&[u8; N]> for Value {
    fn from(bytes: &[u8; N]) -> Self {
        Self(Bytes::copy_from_slice(bytes))
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self(text.into())
    }
}

impl From<&String> for Value {
    fn from(text: &String) -> Self {
        text.as_str().into()
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        text.as_bytes().into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_come_from_every_kind_of_bytes() {
        let text = String::from("value");
        let vec = b"value".to_vec();
        let bytes = Bytes::from_static(b"value");
        let all: [Value; 9] = [
            "value".into(),
            b"value".into(),
            (&b"value"[..]).into(),
            (&vec).into(),
            vec.into(),
            (&bytes).into(),
            Key::from("value").into(),
            (&text).into(),
            text.into(),
        ];
        assert!(all.iter().all(|value| value.as_ref() == b"value"));
        assert_eq!(Bytes::from(Value::from(bytes.clone())).as_ptr(), bytes.as_ptr());
        assert_eq!(Value::default().into_bytes(), Bytes::new());
    }

    #[test]
    fn what_is_owned_is_not_copied() {
        let text = String::from("a value");
        let before = text.as_ptr();
        assert_eq!(Value::from(text).into_bytes().as_ptr(), before);
    }
}

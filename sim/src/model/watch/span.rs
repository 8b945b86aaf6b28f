//! The keys one watch looks at.

use bytes::Bytes;

/// Where a [`Span`] ends.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum End {
    /// After its only key.
    Single,
    /// Nowhere.
    Open,
    /// Before this key.
    Before(Bytes),
}

/// A key or a range of keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) start: Bytes,
    pub(super) end: End,
}

impl Span {
    /// What a create request means: no key is the smallest key, no range end a single key, a zero byte all keys from `key`
    /// on. `None` for an empty range.
    pub(super) fn from_request(key: Bytes, range_end: Bytes) -> Option<Self> {
        let start = if key.is_empty() { Bytes::from_static(&[0]) } else { key };
        let end = match &*range_end {
            [] => End::Single,
            [0] => End::Open,
            end if *start < *end => End::Before(range_end),
            _ => return None,
        };
        Some(Self { start, end })
    }
}

impl End {
    /// Whether a span with this end, and a start not above `key`, holds `key`. Not for a single key.
    pub(super) fn is_after(&self, key: &[u8]) -> bool {
        match self {
            Self::Single => false,
            Self::Open => true,
            Self::Before(end) => key < &**end,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_of_key_and_range_end() {
        let of = |key: &'static str, end: &'static str| Span::from_request(key.into(), end.into());
        let span = |start: &'static str, end| Some(Span { start: start.into(), end });
        let table = [
            ("a", "", span("a", End::Single)),
            ("", "", span("\0", End::Single)),
            ("a", "\0", span("a", End::Open)),
            ("", "\0", span("\0", End::Open)),
            ("\0", "\0", span("\0", End::Open)),
            ("a", "b", span("a", End::Before("b".into()))),
            ("", "b", span("\0", End::Before("b".into()))),
            ("a", "a", None),
            ("b", "a", None),
            ("b", "\0\0", None),
        ];
        for (key, end, expected) in table {
            assert_eq!(of(key, end), expected, "{key:?} {end:?}");
        }
    }
}

//! Keys, and the pairs of key and range end by which etcd names one key, a prefix, a range, or everything.

use bytes::Bytes;
use std::cmp::Ordering;

/// The smallest key there is, and as a range end etcd's sign for "without end".
const ZERO: &[u8] = b"\0";

/// A key: any non-empty string of bytes. etcd compares keys byte by byte.
///
/// Made from anything that is bytes or text; a `String`, `Vec<u8>` or `Bytes` is taken over without copying.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key(Bytes);

impl Key {
    /// The bytes of the key.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The key as reference-counted bytes, without copying.
    pub fn into_bytes(self) -> Bytes {
        self.0
    }

    /// Whether the key has no bytes. etcd refuses such a key; as a prefix it stands for all keys.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl AsRef<[u8]> for Key {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl From<Key> for Bytes {
    fn from(key: Key) -> Self {
        key.0
    }
}

impl From<Bytes> for Key {
    fn from(bytes: Bytes) -> Self {
        Self(bytes)
    }
}

impl From<&Bytes> for Key {
    fn from(bytes: &Bytes) -> Self {
        Self(bytes.clone())
    }
}

impl From<Vec<u8>> for Key {
    fn from(bytes: Vec<u8>) -> Self {
        Self(bytes.into())
    }
}

impl From<&[u8]> for Key {
    fn from(bytes: &[u8]) -> Self {
        Self(Bytes::copy_from_slice(bytes))
    }
}

impl<const N: usize> From<&[u8; N]> for Key {
    fn from(bytes: &[u8; N]) -> Self {
        Self(Bytes::copy_from_slice(bytes))
    }
}

impl From<String> for Key {
    fn from(text: String) -> Self {
        Self(text.into())
    }
}

impl From<&String> for Key {
    fn from(text: &String) -> Self {
        text.as_str().into()
    }
}

impl From<&str> for Key {
    fn from(text: &str) -> Self {
        text.as_bytes().into()
    }
}

impl From<&Self> for Key {
    fn from(key: &Self) -> Self {
        key.clone()
    }
}

/// The end of the range of all keys that begin with `prefix`: the first key after them.
///
/// That is `prefix` without its trailing `0xff` bytes and with the last remaining byte one higher. Where nothing remains (an
/// empty prefix, or `0xff` only) no key comes after, and the result is the single zero byte by which etcd means "without end".
/// The Go client's `GetPrefixRangeEnd` (`client/v3/op.go`).
pub fn prefix_end(prefix: &[u8]) -> Bytes {
    let kept = prefix.iter().rposition(|&byte| byte != 0xff);
    let Some(last) = kept else {
        return Bytes::from_static(ZERO);
    };
    let mut end = prefix[..=last].to_vec();
    end[last] += 1;
    end.into()
}

/// A set of keys as etcd's requests name it: a key and a range end.
///
/// | `range_end` | keys |
/// |---|---|
/// | empty | `key` alone |
/// | one zero byte | `key` and every key after it |
/// | else | every key from `key` to just before `range_end`; none if `range_end` is not above `key` |
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct KeyRange {
    key: Bytes,
    end: Bytes,
}

impl KeyRange {
    /// One key.
    pub fn single(key: impl Into<Key>) -> Self {
        Self { key: key.into().0, end: Bytes::new() }
    }

    /// Every key that begins with `prefix`; all keys if it is empty.
    pub fn prefix(prefix: impl Into<Key>) -> Self {
        let prefix = prefix.into();
        if prefix.is_empty() {
            return Self::all();
        }
        Self { end: prefix_end(prefix.as_bytes()), key: prefix.0 }
    }

    /// `key` and every key after it; all keys if it is empty.
    pub fn from_key(key: impl Into<Key>) -> Self {
        let key = key.into();
        if key.is_empty() {
            return Self::all();
        }
        Self { key: key.0, end: Bytes::from_static(ZERO) }
    }

    /// Every key from `start` to just before `end`, both sent as they are.
    ///
    /// The two ends with a meaning of their own keep it: empty is `start` alone, a single zero byte is "without end".
    pub fn range(start: impl Into<Key>, end: impl Into<Key>) -> Self {
        Self { key: start.into().0, end: end.into().0 }
    }

    /// All keys.
    pub const fn all() -> Self {
        Self { key: Bytes::from_static(ZERO), end: Bytes::from_static(ZERO) }
    }

    /// The first key of the range, as a request carries it.
    pub const fn key(&self) -> &Bytes {
        &self.key
    }

    /// The end of the range, as a request carries it.
    pub const fn range_end(&self) -> &Bytes {
        &self.end
    }

    /// The pair of key and range end, without copying.
    pub fn into_parts(self) -> (Bytes, Bytes) {
        (self.key, self.end)
    }

    /// Whether the range names one key alone.
    pub fn is_single(&self) -> bool {
        self.end.is_empty()
    }

    /// Whether `key` lies in the range. The range end itself does not.
    pub fn contains(&self, key: &[u8]) -> bool {
        if self.is_single() {
            return key == self.key;
        }
        key >= &self.key[..] && (self.end == ZERO || key < &self.end[..])
    }

    /// Whether some key lies in both ranges.
    pub fn overlaps(&self, other: &Self) -> bool {
        // If the two share any key, they share the later of their first keys.
        let start = (&self.key).max(&other.key);
        self.contains(start) && other.contains(start)
    }

    /// Where this range lies beside the other: `Less` if wholly before it, `Greater` if wholly after it, `Equal` if they overlap.
    ///
    /// A range without keys overlaps nothing and is placed by its first key. This is no total order (two disjoint ranges may
    /// both overlap a third), hence not `Ord`.
    pub fn compare(&self, other: &Self) -> Ordering {
        if self.overlaps(other) { Ordering::Equal } else { self.key.cmp(&other.key) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn kv_056_prefix_end() {
        let cases: [(&[u8], &[u8]); 9] = [
            (b"aa", b"ab"),
            (b"a\xff", b"b"),
            (b"\xff", b"\0"),
            (&[1, 2], &[1, 3]),
            (&[255, 255], b"\0"),
            (b"", b"\0"),
            (b"a\xff\xff", b"b"),
            (b"\xffa", b"\xffb"),
            (b"\xfe\xff", b"\xff"),
        ];
        for (prefix, end) in cases {
            assert_eq!(prefix_end(prefix), end, "{prefix:?}");
        }
        assert_eq!(pair(KeyRange::prefix("")), (b"\0".to_vec(), b"\0".to_vec()));
        assert_eq!(pair(KeyRange::prefix("aa")), (b"aa".to_vec(), b"ab".to_vec()));
        assert_eq!(pair(KeyRange::prefix(b"\xff")), (b"\xff".to_vec(), b"\0".to_vec()));
    }

    #[test]
    fn kv_057_compare_is_less_equal_greater() {
        let cases = [
            (KeyRange::range("a", "c"), KeyRange::range("c", "e"), Ordering::Less),
            (KeyRange::range("a", "d"), KeyRange::range("c", "e"), Ordering::Equal),
            (KeyRange::range("a", "z"), KeyRange::range("c", "e"), Ordering::Equal),
            (KeyRange::range("c", "e"), KeyRange::range("c", "e"), Ordering::Equal),
            (KeyRange::range("e", "f"), KeyRange::range("c", "e"), Ordering::Greater),
            (KeyRange::single("b"), KeyRange::range("c", "e"), Ordering::Less),
            (KeyRange::single("c"), KeyRange::range("c", "e"), Ordering::Equal),
            (KeyRange::single("e"), KeyRange::range("c", "e"), Ordering::Greater),
            (KeyRange::single("c"), KeyRange::single("c"), Ordering::Equal),
            (KeyRange::single("c"), KeyRange::single("d"), Ordering::Less),
            (KeyRange::from_key("d"), KeyRange::range("c", "e"), Ordering::Equal),
            (KeyRange::from_key("e"), KeyRange::range("c", "e"), Ordering::Greater),
            (KeyRange::from_key("x"), KeyRange::from_key("y"), Ordering::Equal),
            (KeyRange::prefix("ab"), KeyRange::prefix("a"), Ordering::Equal),
            (KeyRange::prefix("ab"), KeyRange::prefix("ac"), Ordering::Less),
            (KeyRange::all(), KeyRange::single("q"), Ordering::Equal),
            (KeyRange::range("d", "d"), KeyRange::range("c", "e"), Ordering::Greater),
            (KeyRange::range("d", "b"), KeyRange::range("c", "e"), Ordering::Greater),
        ];
        for (one, two, expected) in cases {
            assert_eq!(one.compare(&two), expected, "{one:?} {two:?}");
            assert_eq!(two.compare(&one), expected.reverse(), "{two:?} {one:?}");
            assert_eq!(one.overlaps(&two), expected == Ordering::Equal, "{one:?} {two:?}");
        }
    }

    #[test]
    fn kv_057_contains_is_half_open() {
        let range = KeyRange::range("b", "d");
        let held = ["b", "b\0", "c", "czz"];
        let not_held = ["", "a", "azz", "d", "d\0", "e"];
        assert!(held.iter().all(|key| range.contains(key.as_bytes())));
        assert!(!not_held.iter().any(|key| range.contains(key.as_bytes())));
        assert!(KeyRange::from_key("b").contains(b"\xff\xff"));
        assert!(!KeyRange::from_key("b").contains(b"a"));
        assert!(KeyRange::single("b").contains(b"b") && !KeyRange::single("b").contains(b"b\0"));
        assert!(!KeyRange::range("d", "b").contains(b"c"));
    }

    #[test]
    fn constructors_give_the_wire_pair() {
        assert_eq!(pair(KeyRange::single("k")), (b"k".to_vec(), vec![]));
        assert_eq!(pair(KeyRange::from_key("k")), (b"k".to_vec(), b"\0".to_vec()));
        assert_eq!(KeyRange::from_key(""), KeyRange::all());
        assert_eq!(pair(KeyRange::range("k", "m")), (b"k".to_vec(), b"m".to_vec()));
        assert!(KeyRange::range("k", "").is_single() && !KeyRange::prefix("k").is_single());
    }

    #[test]
    fn keys_come_from_every_kind_of_bytes() {
        let text = String::from("key");
        let key = Key::from("key");
        let bytes = Bytes::from_static(b"key");
        let all: [Key; 9] = [
            b"key".into(),
            (&b"key"[..]).into(),
            b"key".to_vec().into(),
            (&bytes).into(),
            bytes.into(),
            (&text).into(),
            text.into(),
            (&key).into(),
            key.clone(),
        ];
        assert!(all.iter().all(|made| *made == key && made.as_bytes() == b"key" && made.as_ref() == b"key"));
        assert_eq!(Bytes::from(key.clone()), key.into_bytes());
        assert!(Key::default().is_empty());
    }

    #[test]
    fn owned_text_is_taken_over_without_copying() {
        let text = String::from("a key");
        let before = text.as_ptr();
        assert_eq!(Key::from(text).into_bytes().as_ptr(), before);
    }

    fn pair(range: KeyRange) -> (Vec<u8>, Vec<u8>) {
        let (key, end) = range.into_parts();
        (key.to_vec(), end.to_vec())
    }

    /// Short keys over few bytes, so that random ones often meet.
    fn key() -> impl Strategy<Value = Vec<u8>> {
        let byte = prop_oneof![Just(0), Just(1), Just(b'a'), Just(0xfe), Just(0xff)];
        proptest::collection::vec(byte, 0..4)
    }

    fn any_range() -> impl Strategy<Value = KeyRange> {
        prop_oneof![
            key().prop_map(KeyRange::single),
            key().prop_map(KeyRange::prefix),
            key().prop_map(KeyRange::from_key),
            (key(), key()).prop_map(|(start, end)| KeyRange::range(start, end)),
        ]
    }

    proptest! {
        #[test]
        fn prefix_holds_exactly_what_begins_with_it(prefix in key(), candidate in key()) {
            // The empty key does not exist, and no range holds it.
            prop_assume!(!candidate.is_empty());
            let range = KeyRange::prefix(prefix.as_slice());
            prop_assert_eq!(range.contains(&candidate), candidate.starts_with(&prefix));
        }

        #[test]
        fn ranges_that_share_a_key_overlap(one in any_range(), two in any_range(), probe in key()) {
            if one.contains(&probe) && two.contains(&probe) {
                prop_assert!(one.overlaps(&two));
            }
            prop_assert_eq!(one.compare(&two), two.compare(&one).reverse());
        }

        #[test]
        fn a_range_wholly_before_holds_only_smaller_keys(one in any_range(), two in any_range(), a in key(), b in key()) {
            if one.compare(&two) == Ordering::Less && one.contains(&a) && two.contains(&b) {
                prop_assert!(a < b);
            }
        }
    }
}

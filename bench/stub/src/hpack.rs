//! HPACK (RFC 7541) as far as the stub needs it: which path does a header block name?
//!
//! The dynamic table keeps lengths and paths only. Literals are compared with those seen before, so that a repeated
//! one is not decoded again.

use std::collections::VecDeque;

use httlib_huffman::DecoderSpeed;

use crate::Error;
use crate::answers::Method;

/// Size of the dynamic table that we let the peer use, the protocol's default.
const TABLE_SIZE: usize = 4096;

/// Name lengths of the static table, entry 1 first (RFC 7541, appendix A).
#[rustfmt::skip]
const STATIC_NAMES: [u8; 61] = [
    10, 7, 7, 5, 5, 7, 7, 7, 7, 7, 7, 7, 7, 7, 14, 15, 15, 13, 6, 27, 3, 5, 13, 13, 19, 16, 16, 14, 16, 13, 12,
    6, 4, 4, 6, 7, 4, 4, 8, 17, 13, 8, 19, 13, 4, 8, 12, 18, 19, 5, 7, 7, 11, 6, 10, 25, 17, 10, 4, 3, 16,
];
/// Static entries named `:path`; the first has the value `/`.
const STATIC_PATHS: [usize; 2] = [4, 5];

/// One entry of the dynamic table.
#[derive(Clone, Copy)]
struct Entry {
    name: Name,
    value_len: usize,
    method: Method,
}

#[derive(Clone, Copy)]
struct Name {
    len: usize,
    is_path: bool,
}

/// A literal seen before: its bytes on the wire and what they mean.
struct Known {
    wire: Vec<u8>,
    len: usize,
    method: Method,
    is_path_name: bool,
}

/// The decoder of one connection.
pub(crate) struct Decoder {
    table: VecDeque<Entry>,
    size: usize,
    limit: usize,
    known: Vec<Known>,
}

impl Decoder {
    pub(crate) fn new() -> Self {
        Self { table: VecDeque::new(), size: 0, limit: TABLE_SIZE, known: Vec::new() }
    }

    /// Reads a whole header block.
    ///
    /// # Errors
    /// A block that breaks RFC 7541.
    pub(crate) fn method(&mut self, mut block: &[u8]) -> Result<Method, Error> {
        let mut method = Method::Other;
        while let Some(&first) = block.first() {
            if first & 0x80 != 0 {
                let entry = self.entry(number(&mut block, 7)?)?;
                if entry.name.is_path {
                    method = entry.method;
                }
                continue;
            }
            if first & 0xe0 == 0x20 {
                self.limit = number(&mut block, 5)?.min(TABLE_SIZE);
                self.evict();
                continue;
            }
            let indexed = first & 0x40 != 0;
            let name = match number(&mut block, if indexed { 6 } else { 4 })? {
                0 => {
                    let known = self.literal(&mut block)?;
                    Name { len: known.len, is_path: known.is_path_name }
                }
                index => self.entry(index)?.name,
            };
            let known = self.literal(&mut block)?;
            let entry = Entry { name, value_len: known.len, method: known.method };
            if name.is_path {
                method = entry.method;
            }
            if indexed {
                self.size += entry.size();
                self.table.push_front(entry);
                self.evict();
            }
        }
        Ok(method)
    }

    fn entry(&self, index: usize) -> Result<Entry, Error> {
        let position = index.checked_sub(1).ok_or("header index 0")?;
        if let Some(&len) = STATIC_NAMES.get(position) {
            let name = Name { len: len.into(), is_path: STATIC_PATHS.contains(&index) };
            // Lengths of static values never matter: such entries are not copied into the dynamic table.
            return Ok(Entry { name, value_len: 0, method: Method::Other });
        }
        Ok(*self.table.get(position - STATIC_NAMES.len()).ok_or("header index beyond the table")?)
    }

    fn evict(&mut self) {
        while self.size > self.limit {
            let Some(oldest) = self.table.pop_back() else { break };
            self.size -= oldest.size();
        }
    }

    fn literal(&mut self, block: &mut &[u8]) -> Result<&Known, Error> {
        let start = *block;
        let huffman = start.first().ok_or("header block ends early")? & 0x80 != 0;
        let len = number(block, 7)?;
        let (text, rest) = block.split_at_checked(len).ok_or("header block ends early")?;
        *block = rest;
        let wire = &start[..start.len() - rest.len()];
        let position = match self.known.iter().position(|known| known.wire == wire) {
            Some(position) => position,
            None => {
                let mut decoded = Vec::new();
                if huffman {
                    httlib_huffman::decode(text, &mut decoded, DecoderSpeed::FourBits)
                        .map_err(|error| format!("huffman: {error:?}"))?;
                } else {
                    decoded.extend_from_slice(text);
                }
                // Values that change with every call, such as time-outs, must not fill the list.
                self.known.truncate(63);
                self.known.push(Known {
                    wire: wire.to_vec(),
                    len: decoded.len(),
                    method: Method::of(&decoded),
                    is_path_name: decoded == b":path",
                });
                self.known.len() - 1
            }
        };
        Ok(&self.known[position])
    }
}

impl Entry {
    fn size(&self) -> usize {
        self.name.len + self.value_len + 32
    }
}

/// Reads an integer with a prefix of this many bits (RFC 7541, section 5.1).
fn number(block: &mut &[u8], bits: u32) -> Result<usize, Error> {
    let mut next = || -> Result<usize, Error> {
        let (first, rest) = block.split_first().ok_or("header block ends early")?;
        *block = rest;
        Ok(usize::from(*first))
    };
    let limit = (1 << bits) - 1;
    let mut value = next()? & limit;
    if value < limit {
        return Ok(value);
    }
    for shift in [0, 7, 14, 21] {
        let byte = next()?;
        value += (byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Ok(value);
        }
    }
    Err("header integer too large".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `:path: /etcdserverpb.KV/Put` in Huffman code, with a name index of 4.
    fn path_literal(kind: u8, path: &[u8]) -> Vec<u8> {
        let mut coded = Vec::new();
        httlib_huffman::encode(path, &mut coded).expect("encodes");
        let mut block = vec![kind | 4, 0x80 | u8::try_from(coded.len()).expect("short")];
        block.extend_from_slice(&coded);
        block
    }

    #[test]
    fn paths_are_found_as_literals_and_in_the_dynamic_table() {
        let mut decoder = Decoder::new();
        let put = path_literal(0x00, b"/etcdserverpb.KV/Put");
        assert_eq!(decoder.method(&put).expect("literal"), Method::Put);
        assert_eq!(decoder.method(&put).expect("known literal"), Method::Put);
        let range = path_literal(0x40, b"/etcdserverpb.KV/Range");
        assert_eq!(decoder.method(&range).expect("indexed literal"), Method::Range);
        assert_eq!(decoder.method(&[0x83, 0x80 | 62]).expect("index"), Method::Range);
        // A plain literal pushes the path back by one; an update of the size to zero empties the table.
        assert_eq!(decoder.method(b"\x40\x02te\x08trailers").expect("plain"), Method::Other);
        assert_eq!(decoder.method(&[0x80 | 63]).expect("index"), Method::Range);
        assert_eq!(decoder.method(&[0x20]).expect("update"), Method::Other);
        assert!(decoder.method(&[0x80 | 62]).is_err());
    }

    #[test]
    fn old_entries_leave_a_full_table() {
        let mut decoder = Decoder::new();
        let path = path_literal(0x40, b"/etcdserverpb.KV/Put");
        decoder.method(&path).expect("literal");
        // 4096 / (2 + 8 + 32) = 97 entries of this size fit, with the path only 96.
        for _ in 0..96 {
            decoder.method(b"\x40\x02te\x08trailers").expect("plain");
        }
        assert_eq!(decoder.method(&[0xff, 31]).expect("index 158"), Method::Put);
        decoder.method(b"\x40\x02te\x08trailers").expect("plain");
        assert_eq!(decoder.table.len(), 97);
        assert!(decoder.method(&[0xff, 32]).is_err());
    }

    #[test]
    fn broken_blocks_are_refused() {
        for block in [&[0x80][..], &[0xff], &[0x44, 0x85, 1], &[0x40], &[0x7f, 0xff, 0xff, 0xff, 0xff, 0xff]]
        {
            assert!(Decoder::new().method(block).is_err(), "{block:x?}");
        }
    }
}

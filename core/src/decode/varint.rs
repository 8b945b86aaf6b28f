//! Varints, the numbers of protobuf, read without the general decoder.

/// Takes a varint of at most ten bytes off the front.
#[inline]
pub(crate) fn read_varint(input: &mut &[u8]) -> Option<u64> {
    let (&first, rest) = input.split_first()?;
    if first < 0x80 {
        *input = rest;
        return Some(u64::from(first));
    }
    match input.first_chunk() {
        Some(bytes) => read_long_varint(bytes, input),
        None => read_last_varint(input),
    }
}

/// A varint with at least ten bytes at hand: identifiers are random numbers, of nine or ten bytes mostly.
fn read_long_varint(bytes: &[u8; 10], input: &mut &[u8]) -> Option<u64> {
    const MORE: u64 = 0x8080_8080_8080_8080;
    let [low @ .., ninth, tenth] = *bytes;
    let low = u64::from_le_bytes(low);
    let (value, len) = match !low & MORE {
        0 => {
            let value = join_sevens(low) | u64::from(ninth & 0x7f) << 56;
            match (ninth, tenth) {
                (0..0x80, _) => (value, 9),
                (_, 0..=1) => (value | u64::from(tenth) << 63, 10),
                _ => return None,
            }
        }
        // Up to the first byte that says it is the last.
        ends => (join_sevens(low & (ends ^ (ends - 1))), ends.trailing_zeros() as usize / 8 + 1),
    };
    *input = &input[len..];
    Some(value)
}

/// Joins the low seven bits of each byte.
const fn join_sevens(bytes: u64) -> u64 {
    let pairs = bytes & 0x007f_007f_007f_007f | (bytes & 0x7f00_7f00_7f00_7f00) >> 1;
    let fours = pairs & 0x0000_3fff_0000_3fff | (pairs & 0x3fff_0000_3fff_0000) >> 2;
    fours & 0x0fff_ffff | (fours & 0x0fff_ffff_0000_0000) >> 4
}

/// A varint among the last bytes.
fn read_last_varint(input: &mut &[u8]) -> Option<u64> {
    let len = input.iter().position(|byte| *byte < 0x80)? + 1;
    let (varint, rest) = input.split_at(len);
    *input = rest;
    Some(varint.iter().rev().fold(0, |value, byte| value << 7 | u64::from(byte & 0x7f)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use prost::encoding::encode_varint;

    use super::*;

    proptest! {
        /// Varints of every length, with any number of bytes behind them.
        #[test]
        fn varints_are_read_as_prost_reads_them(
            value in (any::<u64>(), 0..64u32).prop_map(|(value, shift)| value >> shift),
            padding in 0..10usize,
            tail in prop::collection::vec(any::<u8>(), 0..12),
        ) {
            let mut bytes = Vec::new();
            encode_varint(value, &mut bytes);
            // The same number written longer than need be.
            if let (Some(last), true) = (bytes.last_mut(), padding > 0) {
                *last |= 0x80;
                bytes.resize(bytes.len() + padding - 1, 0x80);
                bytes.push(0);
            }
            bytes.extend(tail);
            let (mut ours, mut theirs) = (&bytes[..], &bytes[..]);
            prop_assert_eq!(read_varint(&mut ours), prost::encoding::decode_varint(&mut theirs).ok());
            if ours.len() < bytes.len() {
                prop_assert_eq!(ours, theirs);
            }
        }
    }
}

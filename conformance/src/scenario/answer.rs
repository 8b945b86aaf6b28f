//! Reading answers in bodies.

use etcdium_client::{GetResponse, KeyValue};

use super::Failure;

/// The one pair of an answer that must have no other.
///
/// # Errors
/// It has none or several.
#[track_caller]
pub fn only(response: GetResponse) -> Result<KeyValue, Failure> {
    let found = (response.kvs.len(), response.count, response.more);
    match (response.kvs.into_iter().next(), found) {
        (Some(kv), (1, 1, false)) => Ok(kv),
        (_, (pairs, count, more)) => Err(Failure::new(format!(
            "expected one pair, got {pairs}, with a count of {count} and {}",
            if more { "more to come" } else { "no more" }
        ))),
    }
}

/// Bytes as text, for messages and comparisons.
pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

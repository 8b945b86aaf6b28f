//! What a client must offer to be measured.

use std::future::Future;

use bytes::Bytes;

use crate::Error;

/// What a load looks at in an answer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Answer {
    /// Key-values in the answer; 0 for a put.
    pub(crate) kvs: usize,
    /// `raft_term` of the header: the stub puts the ordinal of the connection there.
    pub(crate) connection: u64,
}

/// A client of the key-value service. A clone shares the connection; each task of a load owns one clone.
pub(crate) trait KvClient: Clone + Send + 'static {
    /// Writes one key.
    fn put(&mut self, key: Bytes, value: Bytes) -> impl Future<Output = Result<Answer, Error>> + Send;

    /// Reads one key.
    fn get(&mut self, key: Bytes) -> impl Future<Output = Result<Answer, Error>> + Send;

    /// Reads at most `limit` keys of `key..end`.
    fn range(
        &mut self,
        key: Bytes,
        end: Bytes,
        limit: i64,
    ) -> impl Future<Output = Result<Answer, Error>> + Send;
}

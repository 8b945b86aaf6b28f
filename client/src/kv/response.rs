//! Responses of key-value requests.

use etcdium_core::Error;
use etcdium_proto::etcdserverpb::response_op::Response;
use etcdium_proto::etcdserverpb::{
    CompactionResponse, DeleteRangeResponse, PutResponse as PutMessage, RangeResponse, ResponseOp,
    TxnResponse as TxnMessage,
};

use crate::response::{count, key_values, unreadable};
use crate::{KeyValue, ResponseHeader};

/// The answer to a [`Get`](crate::Get).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct GetResponse {
    /// Who answered, and at which revision.
    pub header: ResponseHeader,
    /// The pairs found, in the order asked for. Empty for a count-only read.
    pub kvs: Vec<KeyValue>,
    /// Whether the limit kept pairs from being returned.
    pub more: bool,
    /// How many keys there are in the range, whatever the limit and the bounds on revisions.
    pub count: u64,
}

impl GetResponse {
    /// A response, for tests and fakes.
    pub const fn new(header: ResponseHeader, kvs: Vec<KeyValue>, more: bool, count: u64) -> Self {
        Self { header, kvs, more, count }
    }

    /// The first pair: *the* pair, for a read of one key. `None` if there is no such key.
    pub fn first(&self) -> Option<&KeyValue> {
        self.kvs.first()
    }

    /// The first pair, taken out.
    pub fn into_first(self) -> Option<KeyValue> {
        self.kvs.into_iter().next()
    }
}

impl TryFrom<RangeResponse> for GetResponse {
    type Error = Error;

    fn try_from(message: RangeResponse) -> Result<Self, Error> {
        Ok(Self {
            header: message.header.into(),
            kvs: key_values(message.kvs),
            more: message.more,
            count: count(message.count),
        })
    }
}

/// The answer to a [`Put`](crate::Put).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct PutResponse {
    /// Who answered, and the revision the put made.
    pub header: ResponseHeader,
    /// The pair that was replaced, if there was one and it was asked for.
    pub prev_kv: Option<KeyValue>,
}

impl PutResponse {
    /// A response, for tests and fakes.
    pub const fn new(header: ResponseHeader, prev_kv: Option<KeyValue>) -> Self {
        Self { header, prev_kv }
    }
}

impl TryFrom<PutMessage> for PutResponse {
    type Error = Error;

    fn try_from(message: PutMessage) -> Result<Self, Error> {
        Ok(Self { header: message.header.into(), prev_kv: message.prev_kv.map(KeyValue::from) })
    }
}

/// The answer to a [`Delete`](crate::Delete).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct DeleteResponse {
    /// Who answered, and the revision the deletion made; the revision is unchanged if nothing was deleted.
    pub header: ResponseHeader,
    /// How many keys were deleted.
    pub deleted: u64,
    /// The pairs that were deleted, if asked for.
    pub prev_kvs: Vec<KeyValue>,
}

impl DeleteResponse {
    /// A response, for tests and fakes.
    pub const fn new(header: ResponseHeader, deleted: u64, prev_kvs: Vec<KeyValue>) -> Self {
        Self { header, deleted, prev_kvs }
    }
}

impl TryFrom<DeleteRangeResponse> for DeleteResponse {
    type Error = Error;

    fn try_from(message: DeleteRangeResponse) -> Result<Self, Error> {
        Ok(Self {
            header: message.header.into(),
            deleted: count(message.deleted),
            prev_kvs: key_values(message.prev_kvs),
        })
    }
}

/// The answer to a [`Compact`](crate::Compact).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct CompactResponse {
    /// Who answered, and at which revision.
    pub header: ResponseHeader,
}

impl CompactResponse {
    /// A response, for tests and fakes.
    pub const fn new(header: ResponseHeader) -> Self {
        Self { header }
    }
}

impl TryFrom<CompactionResponse> for CompactResponse {
    type Error = Error;

    fn try_from(message: CompactionResponse) -> Result<Self, Error> {
        Ok(Self { header: message.header.into() })
    }
}

/// The answer to a [`Txn`](crate::Txn).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct TxnResponse {
    /// Who answered, and at which revision; if anything was written, the revision the transaction made.
    pub header: ResponseHeader,
    /// Whether all conditions held, so that the first branch was taken.
    pub succeeded: bool,
    /// The answers to the operations of the branch taken, in their order.
    pub results: Vec<OpResponse>,
}

impl TxnResponse {
    /// A response, for tests and fakes.
    pub const fn new(header: ResponseHeader, succeeded: bool, results: Vec<OpResponse>) -> Self {
        Self { header, succeeded, results }
    }

    /// The answers to reads, without those within inner transactions.
    pub fn gets(&self) -> impl Iterator<Item = &GetResponse> {
        self.results.iter().filter_map(OpResponse::as_get)
    }

    /// The answers to puts, without those within inner transactions.
    pub fn puts(&self) -> impl Iterator<Item = &PutResponse> {
        self.results.iter().filter_map(OpResponse::as_put)
    }

    /// The answers to deletions, without those within inner transactions.
    pub fn deletes(&self) -> impl Iterator<Item = &DeleteResponse> {
        self.results.iter().filter_map(OpResponse::as_delete)
    }

    /// The answers to inner transactions.
    pub fn txns(&self) -> impl Iterator<Item = &Self> {
        self.results.iter().filter_map(OpResponse::as_txn)
    }
}

impl TryFrom<TxnMessage> for TxnResponse {
    type Error = Error;

    fn try_from(message: TxnMessage) -> Result<Self, Error> {
        Ok(Self {
            header: message.header.into(),
            succeeded: message.succeeded,
            results: message.responses.into_iter().map(OpResponse::try_from).collect::<Result<_, _>>()?,
        })
    }
}

/// The answer to an [`Op`](crate::Op): of the same kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OpResponse {
    /// To a read.
    Get(GetResponse),
    /// To a put.
    Put(PutResponse),
    /// To a deletion.
    Delete(DeleteResponse),
    /// To a transaction.
    Txn(TxnResponse),
}

macro_rules! kinds {
    ($($kind:ident $response:ident $what:literal $as:ident $into:ident)*) => {
        impl OpResponse {$(
            #[doc = concat!("The answer to a ", $what, ", if it is one.")]
            pub fn $as(&self) -> Option<&$response> {
                match self {
                    Self::$kind(response) => Some(response),
                    _ => None,
                }
            }

            #[doc = concat!("The answer to a ", $what, ", taken out, if it is one.")]
            pub fn $into(self) -> Option<$response> {
                match self {
                    Self::$kind(response) => Some(response),
                    _ => None,
                }
            }
        )*}

        $(impl From<$response> for OpResponse {
            fn from(response: $response) -> Self {
                Self::$kind(response)
            }
        })*
    };
}

kinds! {
    Get GetResponse "read" as_get into_get
    Put PutResponse "put" as_put into_put
    Delete DeleteResponse "deletion" as_delete into_delete
    Txn TxnResponse "transaction" as_txn into_txn
}

impl TryFrom<ResponseOp> for OpResponse {
    type Error = Error;

    fn try_from(message: ResponseOp) -> Result<Self, Error> {
        Ok(match message.response {
            Some(Response::ResponseRange(response)) => Self::Get(response.try_into()?),
            Some(Response::ResponsePut(response)) => Self::Put(response.try_into()?),
            Some(Response::ResponseDeleteRange(response)) => Self::Delete(response.try_into()?),
            Some(Response::ResponseTxn(response)) => Self::Txn(response.try_into()?),
            None => return Err(unreadable("the answer to an operation is of no known kind")),
        })
    }
}

#[cfg(test)]
mod tests {
    use etcdium_core::{ErrorKind, ProtocolError, Revision};
    use etcdium_proto::etcdserverpb::ResponseHeader as HeaderMessage;
    use etcdium_proto::mvccpb;

    use super::*;

    fn pair(key: &'static str) -> mvccpb::KeyValue {
        mvccpb::KeyValue { key: key.into(), mod_revision: 4, ..Default::default() }
    }

    fn header() -> Option<HeaderMessage> {
        Some(HeaderMessage { revision: 9, ..Default::default() })
    }

    fn mixed() -> TxnMessage {
        let range = RangeResponse { kvs: vec![pair("k")], count: 1, ..Default::default() };
        let inner = TxnMessage {
            succeeded: true,
            responses: vec![ResponseOp { response: Some(Response::ResponsePut(PutMessage::default())) }],
            ..Default::default()
        };
        let responses = [
            Response::ResponsePut(PutMessage { header: header(), prev_kv: Some(pair("old")) }),
            Response::ResponseDeleteRange(DeleteRangeResponse { deleted: 2, ..Default::default() }),
            Response::ResponseRange(range),
            Response::ResponseTxn(inner),
        ];
        let responses = responses.into_iter().map(|response| ResponseOp { response: Some(response) });
        TxnMessage { header: header(), succeeded: true, responses: responses.collect() }
    }

    #[test]
    fn txn_021_results_by_kind() {
        let response = TxnResponse::try_from(mixed()).unwrap();
        assert!(response.succeeded);
        assert_eq!(response.header.revision, Revision::new(9));
        assert_eq!(response.results.len(), 4);
        let puts: Vec<_> = response.puts().collect();
        let deletes: Vec<_> = response.deletes().collect();
        let gets: Vec<_> = response.gets().collect();
        let txns: Vec<_> = response.txns().collect();
        assert_eq!((puts.len(), deletes.len(), gets.len(), txns.len()), (1, 1, 1, 1));
        assert_eq!(puts[0].prev_kv.as_ref().map(|kv| &kv.key[..]), Some(&b"old"[..]));
        assert_eq!(deletes[0].deleted, 2);
        assert_eq!(gets[0].first().map(|kv| &kv.key[..]), Some(&b"k"[..]));
        assert_eq!(txns[0].puts().count(), 1);
    }

    #[test]
    fn results_keep_their_order_and_come_out() {
        let mut results = TxnResponse::try_from(mixed()).unwrap().results.into_iter();
        assert!(results.next().and_then(OpResponse::into_put).is_some());
        assert!(results.next().and_then(OpResponse::into_delete).is_some());
        assert!(results.next().and_then(OpResponse::into_get).is_some());
        let last = results.next().unwrap();
        assert!(last.as_get().is_none() && last.as_put().is_none() && last.as_delete().is_none());
        assert!(last.into_txn().is_some());
    }

    #[test]
    fn a_result_of_no_kind_is_a_protocol_error() {
        let mut message = mixed();
        message.responses.push(ResponseOp { response: None });
        let error = TxnResponse::try_from(message).unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::Protocol(ProtocolError::Message(_))), "{error}");
    }

    #[test]
    fn fields_of_the_plain_responses() {
        let get = RangeResponse { header: header(), kvs: vec![pair("a"), pair("b")], more: true, count: 7 };
        let get = GetResponse::try_from(get).unwrap();
        assert_eq!((get.header.revision.get(), get.kvs.len(), get.more, get.count), (9, 2, true, 7));
        assert_eq!(get.into_first().map(|kv| kv.key), Some("a".into()));

        let delete = DeleteRangeResponse { header: header(), deleted: 1, prev_kvs: vec![pair("a")] };
        let delete = DeleteResponse::try_from(delete).unwrap();
        assert_eq!((delete.header.revision.get(), delete.deleted, delete.prev_kvs.len()), (9, 1, 1));

        let compact = CompactResponse::try_from(CompactionResponse { header: header() }).unwrap();
        assert_eq!(compact.header.revision.get(), 9);

        let nothing = GetResponse::try_from(RangeResponse::default()).unwrap();
        assert_eq!(nothing, GetResponse::default());
        assert_eq!(nothing.first(), None);
    }

    #[test]
    fn responses_can_be_made() {
        let header = ResponseHeader::default();
        let get = GetResponse::new(header, vec![KeyValue::new("k", "v")], false, 1);
        let put = PutResponse::new(header, None);
        let delete = DeleteResponse::new(header, 0, vec![]);
        let inner = TxnResponse::new(header, false, vec![]);
        let txn = TxnResponse::new(
            header,
            true,
            vec![get.clone().into(), put.clone().into(), delete.clone().into(), inner.clone().into()],
        );
        assert_eq!(txn.gets().collect::<Vec<_>>(), [&get]);
        assert_eq!(txn.puts().collect::<Vec<_>>(), [&put]);
        assert_eq!(txn.deletes().collect::<Vec<_>>(), [&delete]);
        assert_eq!(txn.txns().collect::<Vec<_>>(), [&inner]);
        assert_eq!(CompactResponse::new(header).header, header);
    }
}

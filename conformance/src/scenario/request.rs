//! Requests as bodies write them: the client's detached builders, sent as plain messages.

use etcdium_client::proto::UnaryRequest;
use etcdium_client::proto::etcdserverpb as pb;
use etcdium_client::{
    Compact, CompactResponse, Delete, DeleteResponse, Error, Get, GetResponse, Grant, GrantResponse, Leases,
    LeasesResponse, Put, PutResponse, Revoke, RevokeResponse, TimeToLive, TimeToLiveResponse, Txn,
    TxnResponse,
};

/// A detached request builder of the client: it has a message, and the answer to that is a typed response.
pub trait Request: Send {
    /// The request message.
    type Message: UnaryRequest;
    /// The typed response.
    type Response: TryFrom<<Self::Message as UnaryRequest>::Response, Error = Error> + Send;

    /// Its message.
    ///
    /// # Errors
    /// The builder's.
    fn message(self) -> Result<Self::Message, Error>;
}

macro_rules! requests {
    ($($builder:ident: $message:ident -> $response:ident;)*) => {$(
        impl Request for $builder {
            type Message = pb::$message;
            type Response = $response;

            fn message(self) -> Result<Self::Message, Error> {
                self.into_request()
            }
        }
    )*};
}

requests! {
    Get: RangeRequest -> GetResponse;
    Put: PutRequest -> PutResponse;
    Delete: DeleteRangeRequest -> DeleteResponse;
    Compact: CompactionRequest -> CompactResponse;
    Txn: TxnRequest -> TxnResponse;
    Grant: LeaseGrantRequest -> GrantResponse;
    Revoke: LeaseRevokeRequest -> RevokeResponse;
    TimeToLive: LeaseTimeToLiveRequest -> TimeToLiveResponse;
    Leases: LeaseLeasesRequest -> LeasesResponse;
}

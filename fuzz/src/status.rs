//! The parsers of response heads and statuses, and of metadata: any header fields lead to one answer.

use std::time::{Duration, Instant};

use bytes::Bytes;
use etcdium_core::{CallInput, CallOptions, Config, Core, EndpointInput, Error, Event, Metadata, Transmit};
use etcdium_proto::etcdserverpb::PutRequest;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

use crate::input::Input;

pub(crate) const SEEDS: &[&[u8]] = &[
    // A code for the kind of head, the fields of the head up to a name that is none, whether it is the end, the body, the
    // trailers.
    b"\0\x04\x10application/grpc\x07\0\x05\0\0\0\0\0\0\x010\x07",
    b"\0\x04\x10application/grpc\0\x013\x01\x21etcdserver: key%20is not provided\x07\x01",
    b"\x01\x00\x0213\x01\x05a%zzb",
];

const NAMES: &[&str] =
    &["grpc-status", "grpc-message", "grpc-status-details-bin", "grpc-encoding", "content-type", "x"];

fn fields(input: &mut Input<'_>) -> HeaderMap {
    let mut headers = HeaderMap::new();
    while let Some(name) = input.index(NAMES.len() + 2).and_then(|index| NAMES.get(index)) {
        if let Ok(value) = HeaderValue::from_bytes(input.piece(64)) {
            headers.append(HeaderName::from_static(name), value);
        }
        if input.is_empty() {
            break;
        }
    }
    headers
}

/// A put, answered with any head, body and trailers.
pub fn status(data: &[u8]) {
    // Any end will do.
    drop(play(data));
}

/// Says how the call ended.
fn play(data: &[u8]) -> Result<(), Error> {
    let mut input = Input(data);
    let now = Instant::now();
    let address = "127.0.0.1:1".parse().expect("an address");
    let mut core = Core::new(Config::new([address]), now, 1);
    let text = String::from_utf8_lossy(data);
    let metadata = Metadata::new().with("x-any", &text);
    let options = CallOptions::new().timeout(Some(Duration::from_secs(5)));
    let options = match metadata {
        Ok(metadata) => options.metadata(metadata),
        Err(_) => options,
    };
    let put = core.start(now, &PutRequest { key: "k".into(), ..Default::default() }, &options);
    let mut code = StatusCode::OK;
    if input.byte() % 4 == 1 {
        code = StatusCode::from_u16(u16::from(input.byte()) + 200).unwrap_or(StatusCode::OK);
    }
    let (mut answered, mut now, mut rounds) = (false, now, 0);
    loop {
        while let Some(transmit) = core.poll_transmit() {
            match transmit {
                Transmit::Connect(connect) => {
                    core.handle_endpoint(now, connect.connection, EndpointInput::Connected);
                }
                Transmit::Open(open) => {
                    open.headers();
                    // Another time, if it comes to that, nothing is answered.
                    if !std::mem::replace(&mut answered, true) {
                        let headers = fields(&mut input);
                        let end = input.byte() % 2 == 1;
                        core.handle_call(
                            now,
                            open.call,
                            CallInput::Head { status: code, headers: &headers, end },
                        );
                        if !end {
                            let body = Bytes::copy_from_slice(input.piece(255));
                            core.handle_call(now, open.call, CallInput::Data(body));
                            let trailers = fields(&mut input);
                            core.handle_call(now, open.call, CallInput::End(Some(&trailers)));
                        }
                    }
                }
                _ => {}
            }
        }
        if std::iter::from_fn(|| core.poll_event()).any(|event| event == Event::OpDone(put.key())) {
            break;
        }
        rounds += 1;
        assert!(rounds < 1000, "the put does not end");
        now = core.poll_timeout().expect("something will happen").max(now);
        core.handle_timeout(now);
    }
    let result = core.take(&put).expect("done once");
    if let Err(error) = &result {
        assert!(!error.to_string().is_empty());
    }
    result.map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;
    use etcdium_core::EtcdError;

    #[test]
    fn seeds_are_read_as_meant() {
        assert_eq!(play(SEEDS[0]).map_err(|error| error.to_string()), Ok(()));
        let error = play(SEEDS[1]).expect_err("an error");
        assert_eq!(error.etcd(), Some(EtcdError::EmptyKey), "{error}");
    }
}

//! Large responses in parts (`sendFragments` of api/v3rpc/watch.go).

use etcdium_proto::etcdserverpb::WatchResponse;
use prost::{Message, encoding::encoded_len_varint};

/// What etcd allows above the largest request (config.go, `grpcOverheadBytes`).
pub(super) const OVERHEAD_BYTES: usize = 512 << 10;

/// Cuts a response into parts shorter than `limit` bytes, one event at least in each. All but the last say that another
/// follows. A response below the limit, or with a single event, stays whole.
pub(super) fn fragments(response: WatchResponse, limit: usize) -> Vec<WatchResponse> {
    if response.events.len() < 2 || response.encoded_len() < limit {
        return vec![response];
    }
    let mut events = response.events;
    let head = WatchResponse { events: Vec::new(), fragment: true, ..response };
    let head_bytes = head.encoded_len();
    let mut parts = Vec::new();
    while !events.is_empty() {
        let mut bytes = head_bytes;
        let mut fitting = 0;
        for event in &events {
            let event_bytes = event.encoded_len();
            bytes += 1 + encoded_len_varint(event_bytes as u64) + event_bytes;
            if fitting > 0 && bytes >= limit {
                break;
            }
            fitting += 1;
        }
        let rest = events.split_off(fitting);
        parts.push(WatchResponse { events, fragment: !rest.is_empty(), ..head.clone() });
        events = rest;
    }
    parts
}

#[cfg(test)]
mod tests {
    use etcdium_proto::mvccpb::{Event, KeyValue};

    use super::*;

    fn response(sizes: &[usize]) -> WatchResponse {
        let event = |size: &usize| Event {
            kv: Some(KeyValue { value: vec![b'v'; *size].into(), ..Default::default() }),
            ..Default::default()
        };
        WatchResponse { watch_id: 7, events: sizes.iter().map(event).collect(), ..Default::default() }
    }

    #[test]
    fn parts_are_below_the_limit_unless_one_event_is_above_it() {
        let table: [(&[usize], &[usize]); 6] = [
            (&[], &[0]),
            (&[5000], &[1]),
            (&[10, 10], &[2]),
            (&[400, 400, 400], &[2, 1]),
            (&[2000, 10, 10], &[1, 2]),
            (&[10, 2000, 10, 2000], &[1, 1, 1, 1]),
        ];
        for (sizes, expected) in table {
            let whole = response(sizes);
            let parts = fragments(whole.clone(), 1000);
            let counts: Vec<usize> = parts.iter().map(|part| part.events.len()).collect();
            assert_eq!(counts, expected, "{sizes:?}");
            let joined: Vec<Event> = parts.iter().flat_map(|part| part.events.clone()).collect();
            assert_eq!(joined, whole.events);
            let last = parts.len() - 1;
            for (at, part) in parts.iter().enumerate() {
                assert_eq!((part.fragment, part.watch_id), (at != last, 7));
                assert!(part.events.len() < 2 || part.encoded_len() < 1000);
            }
        }
    }
}

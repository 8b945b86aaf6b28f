//! The highest revision seen per cluster, read from response headers without decoding the whole response.

use crate::decode::read_varint;
use crate::ids::{ClusterId, Revision};

/// How many clusters are remembered. More than one only appears when endpoints of different clusters are mixed up or a
/// cluster is replaced behind the same addresses.
const REMEMBERED: usize = 4;

/// The fields of etcd's `ResponseHeader`; zero means "not known".
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct HeaderView {
    /// Field 1: the cluster that answered.
    pub(crate) cluster_id: u64,
    /// Field 2: the member that answered.
    pub(crate) member_id: u64,
    /// Field 3: the store's revision when the member answered.
    pub(crate) revision: i64,
    /// Field 4: the member's raft term.
    pub(crate) raft_term: u64,
}

/// Reads the header of an encoded response, if it comes first, as etcd writes it.
///
/// `None` when the message does not begin with a header or the header is malformed; a header without fields is all zero.
/// Meant for messages whose field 1 is a `ResponseHeader`, which holds for every response of etcd's own services.
pub(crate) fn peek_header(message: &[u8]) -> Option<HeaderView> {
    const HEADER: u8 = 1 << 3 | LENGTH_DELIMITED;
    let (&HEADER, mut rest) = message.split_first()? else {
        return None;
    };
    let length = usize::try_from(read_varint(&mut rest)?).ok()?;
    let mut fields = rest.get(..length)?;
    let mut view = HeaderView::default();
    while !fields.is_empty() {
        let tag = read_varint(&mut fields)?;
        match tag {
            0x08 => view.cluster_id = read_varint(&mut fields)?,
            0x10 => view.member_id = read_varint(&mut fields)?,
            // Protobuf's int64 is the two's complement in 64 bits.
            0x18 => view.revision = read_varint(&mut fields)? as i64,
            0x20 => view.raft_term = read_varint(&mut fields)?,
            _ => skip_unknown(tag, &mut fields)?,
        }
    }
    Some(view)
}

/// Reads the watch id of an encoded `WatchResponse`, which etcd writes after the header. `None` when it stands elsewhere or is
/// zero.
pub(crate) fn peek_watch_id(message: &[u8]) -> Option<i64> {
    const WATCH_ID: u8 = 2 << 3;
    let mut rest = message;
    if rest.first() == Some(&(1 << 3 | LENGTH_DELIMITED)) {
        rest = &rest[1..];
        let length = usize::try_from(read_varint(&mut rest)?).ok()?;
        rest = rest.get(length..)?;
    }
    let (&WATCH_ID, mut rest) = rest.split_first()? else { return None };
    read_varint(&mut rest).map(|id| id as i64)
}

const LENGTH_DELIMITED: u8 = 2;

/// Takes the value of a field a later etcd may add off the front; `None` for a known field of the wrong type.
fn skip_unknown(tag: u64, input: &mut &[u8]) -> Option<()> {
    if tag >> 3 <= 4 {
        return None;
    }
    let length = match tag & 7 {
        0 => return read_varint(input).map(drop),
        1 => 8,
        2 => usize::try_from(read_varint(input)?).ok()?,
        5 => 4,
        _ => return None,
    };
    *input = input.get(length..)?;
    Some(())
}

/// What a response's header says beside all that was seen before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Observation {
    /// Nothing new: the highest revision again, or a header that names none.
    Same,
    /// A higher revision than any before.
    Advanced,
    /// A lower revision than `highest`, which the same cluster showed before.
    ///
    /// By itself no proof of anything: answers overtake each other, and a lagging member answers a serializable read so.
    Lagging {
        /// The highest revision seen.
        highest: Revision,
        /// The revision of this answer.
        seen: Revision,
    },
    /// Another cluster than the one that answered last. Its revision has been recorded under its own id.
    ClusterChanged {
        /// The cluster that answered before.
        from: ClusterId,
        /// The cluster that answered now.
        to: ClusterId,
    },
}

/// The highest revision seen, per cluster, of the last few clusters.
#[derive(Clone, Debug, Default)]
pub(crate) struct RevisionTracker {
    /// The cluster that answered last; `None` until a header names one.
    cluster: Option<ClusterId>,
    /// The highest revision of that cluster, or of whatever answered while no header named a cluster.
    revision: Revision,
    /// The clusters before it, the latest last.
    earlier: Vec<(ClusterId, Revision)>,
}

impl RevisionTracker {
    /// The history of the present cluster was replaced: its revision counts from here.
    pub(crate) fn replaced(&mut self, revision: Revision) {
        self.revision = revision;
    }

    /// Takes the header of a response into account.
    ///
    /// A field that is zero is not known: etcd's gRPC proxy leaves fields out. A header without a cluster counts for the
    /// cluster that answered last, one without a revision leaves the revision as it is.
    pub(crate) fn observe(&mut self, header: HeaderView) -> Observation {
        // A negative revision is as impossible as zero is uninformative, and nothing can follow the last number there is.
        let seen = if header.revision == i64::MAX { 0 } else { header.revision };
        let seen = Revision::new(seen);
        if header.cluster_id != 0 {
            let to = ClusterId::new(header.cluster_id);
            match self.cluster {
                Some(from) if from != to => {
                    self.switch(from, to);
                    self.revision = self.revision.max(seen);
                    return Observation::ClusterChanged { from, to };
                }
                _ => self.cluster = Some(to),
            }
        }
        if seen <= Revision::ZERO || seen == self.revision {
            Observation::Same
        } else if seen > self.revision {
            self.revision = seen;
            Observation::Advanced
        } else {
            Observation::Lagging { highest: self.revision, seen }
        }
    }

    /// The highest revision seen of the cluster that answered last; zero before any answer.
    pub(crate) const fn revision(&self) -> Revision {
        self.revision
    }

    /// The cluster that answered last, if any header named one.
    pub(crate) const fn cluster(&self) -> Option<ClusterId> {
        self.cluster
    }

    /// The highest revision seen of a cluster; `None` if it is not among the last few, or has shown none.
    #[cfg(test)]
    pub(crate) fn revision_of(&self, cluster: ClusterId) -> Option<Revision> {
        let known = if self.cluster == Some(cluster) {
            Some(self.revision)
        } else {
            self.earlier.iter().find(|(id, _)| *id == cluster).map(|&(_, revision)| revision)
        };
        known.filter(|revision| !revision.is_zero())
    }

    /// Makes `to` the current cluster, with the revision it showed earlier, and remembers `from`.
    fn switch(&mut self, from: ClusterId, to: ClusterId) {
        let left = (from, self.revision);
        self.revision = match self.earlier.iter().position(|(id, _)| *id == to) {
            Some(n) => self.earlier.remove(n).1,
            None => Revision::ZERO,
        };
        if self.earlier.len() + 1 == REMEMBERED {
            self.earlier.remove(0);
        }
        self.earlier.push(left);
        self.cluster = Some(to);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use prost::encoding::{WireType, encode_key, encode_varint};

    /// Encodes fields of type varint as a header in front of `rest`.
    fn message(fields: &[(u32, u64)], rest: &[u8]) -> Vec<u8> {
        let mut header = Vec::new();
        for &(field, value) in fields {
            encode_key(field, WireType::Varint, &mut header);
            encode_varint(value, &mut header);
        }
        wrap(&header, rest)
    }

    fn wrap(header: &[u8], rest: &[u8]) -> Vec<u8> {
        let mut message = Vec::new();
        encode_key(1, WireType::LengthDelimited, &mut message);
        encode_varint(header.len() as u64, &mut message);
        message.extend_from_slice(header);
        message.extend_from_slice(rest);
        message
    }

    fn view(cluster_id: u64, revision: i64) -> HeaderView {
        HeaderView { cluster_id, revision, ..HeaderView::default() }
    }

    #[test]
    fn header_with_all_fields() {
        let fields = [(1, 14_841_639_068_965_178_418), (2, 10_276_657_743_932_975_437), (3, 5), (4, 2)];
        let expected = HeaderView {
            cluster_id: 14_841_639_068_965_178_418,
            member_id: 10_276_657_743_932_975_437,
            revision: 5,
            raft_term: 2,
        };
        assert_eq!(peek_header(&message(&fields, b"")), Some(expected));
        assert_eq!(peek_header(&message(&fields, b"\x12\x03abc")), Some(expected));
    }

    #[test]
    fn absent_fields_are_zero() {
        assert_eq!(peek_header(&message(&[], b"")), Some(HeaderView::default()));
        assert_eq!(peek_header(&message(&[(3, 7)], b"\xff")), Some(view(0, 7)));
    }

    #[test]
    fn fields_of_later_versions_are_skipped() {
        let mut header = vec![0x18, 9];
        header.extend([0x28, 0x80, 0x01]);
        header.extend([0x31, 1, 2, 3, 4, 5, 6, 7, 8]);
        header.extend([0x3a, 2, b'x', b'y']);
        header.extend([0x45, 1, 2, 3, 4]);
        header.extend([0x08, 3]);
        assert_eq!(peek_header(&wrap(&header, b"")), Some(view(3, 9)));
    }

    #[test]
    fn no_header_first_or_a_broken_one_is_none() {
        let cases: [&[u8]; 14] = [
            b"",
            b"\x08\x01",                                     // field 1 is a number: a health answer
            b"\x12\x01a",                                    // another field first
            b"\x0a",                                         // no length
            b"\x0a\x05\x18\x01",                             // shorter than declared
            b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", // declares more than can exist
            b"\x0a\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01", // length of eleven bytes
            b"\x0a\x01\x18",                                 // field without value
            b"\x0a\x02\x18\x80",                             // value cut off
            b"\x0a\x0b\x18\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02", // value above 64 bits
            b"\x0a\x03\x1a\x01a",                            // revision of the wrong type
            b"\x0a\x02\x2b\x2c",                             // a group
            b"\x0a\x03\x32\x05a",                            // unknown field longer than the header
            b"\x0a\x02\x00\x01",                             // field number zero
        ];
        for case in cases {
            assert_eq!(peek_header(case), None, "{case:x?}");
        }
    }

    #[test]
    fn revisions_advance_repeat_and_lag() {
        let mut tracker = RevisionTracker::default();
        assert_eq!((tracker.revision(), tracker.cluster()), (Revision::ZERO, None));
        assert_eq!(tracker.observe(view(7, 10)), Observation::Advanced);
        assert_eq!(tracker.observe(view(7, 10)), Observation::Same);
        assert_eq!(tracker.observe(view(7, 12)), Observation::Advanced);
        let lagging = Observation::Lagging { highest: Revision::new(12), seen: Revision::new(11) };
        assert_eq!(tracker.observe(view(7, 11)), lagging);
        assert_eq!(tracker.revision(), Revision::new(12));
        assert_eq!(tracker.cluster(), Some(ClusterId::new(7)));
    }

    #[test]
    fn zero_is_unknown_and_never_a_change() {
        let mut tracker = RevisionTracker::default();
        assert_eq!(tracker.observe(view(0, 0)), Observation::Same);
        assert_eq!(tracker.observe(view(0, i64::MAX)), Observation::Same);
        assert_eq!(tracker.observe(view(0, 4)), Observation::Advanced);
        assert_eq!((tracker.revision(), tracker.cluster()), (Revision::new(4), None));
        // The first cluster to be named is no change, and what was seen before is taken to be its own.
        assert_eq!(tracker.observe(view(7, 4)), Observation::Same);
        assert_eq!(tracker.revision_of(ClusterId::new(7)), Some(Revision::new(4)));
        assert_eq!(tracker.observe(view(0, 5)), Observation::Advanced);
        assert_eq!(tracker.observe(view(7, 0)), Observation::Same);
        assert_eq!(tracker.observe(view(0, 0)), Observation::Same);
        assert_eq!(tracker.observe(view(0, i64::MAX)), Observation::Same);
        assert_eq!(tracker.observe(view(7, -3)), Observation::Same);
        assert_eq!((tracker.revision(), tracker.cluster()), (Revision::new(5), Some(ClusterId::new(7))));
    }

    #[test]
    fn clusters_keep_their_own_revisions() {
        let (one, two) = (ClusterId::new(1), ClusterId::new(2));
        let mut tracker = RevisionTracker::default();
        tracker.observe(view(1, 100));
        assert_eq!(tracker.observe(view(2, 3)), Observation::ClusterChanged { from: one, to: two });
        assert_eq!((tracker.revision(), tracker.cluster()), (Revision::new(3), Some(two)));
        assert_eq!(tracker.revision_of(one), Some(Revision::new(100)));
        assert_eq!(tracker.observe(view(1, 90)), Observation::ClusterChanged { from: two, to: one });
        assert_eq!(tracker.revision(), Revision::new(100));
        assert_eq!(tracker.revision_of(two), Some(Revision::new(3)));
        assert_eq!(tracker.observe(view(2, 0)), Observation::ClusterChanged { from: one, to: two });
        assert_eq!(tracker.revision(), Revision::new(3));
        assert_eq!(tracker.revision_of(ClusterId::new(9)), None);
    }

    #[test]
    fn only_the_last_few_clusters_are_remembered() {
        let mut tracker = RevisionTracker::default();
        for id in 1..=1_000 {
            tracker.observe(view(id, id as i64));
            assert!(tracker.earlier.len() < REMEMBERED);
        }
        let known: Vec<u64> =
            (1..=1_000).filter(|&id| tracker.revision_of(ClusterId::new(id)).is_some()).collect();
        assert_eq!(known, [997, 998, 999, 1_000]);
    }

    proptest! {
        #[test]
        fn reads_what_an_encoder_writes(
            cluster: u64, member: u64, revision: i64, term: u64,
            rest in proptest::collection::vec(any::<u8>(), 0..20),
        ) {
            let encoded = message(&[(1, cluster), (2, member), (3, revision as u64), (4, term)], &rest);
            let expected = HeaderView { cluster_id: cluster, member_id: member, revision, raft_term: term };
            prop_assert_eq!(peek_header(&encoded), Some(expected));
            for cut in 0..encoded.len() - rest.len() {
                prop_assert_eq!(peek_header(&encoded[..cut]), None);
            }
        }

        #[test]
        fn any_bytes_are_harmless(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            peek_header(&bytes);
            peek_header(&wrap(&bytes, b""));
        }

        /// Against the plain rule: within the run of one cluster the revision is the maximum ever seen of that cluster.
        #[test]
        fn revision_is_the_maximum_per_cluster(headers in proptest::collection::vec((0..4_u64, 0..50_i64), 0..60)) {
            let mut tracker = RevisionTracker::default();
            let mut highest = [0_i64; 4];
            let mut current = 0;
            for (cluster, revision) in headers {
                if cluster != 0 {
                    if current == 0 {
                        highest[cluster as usize] = highest[0];
                    }
                    current = cluster as usize;
                }
                highest[current] = highest[current].max(revision);
                let before = tracker.cluster();
                let observation = tracker.observe(view(cluster, revision));
                prop_assert_eq!(tracker.revision().get(), highest[current]);
                let changed = before.is_some_and(|id| cluster != 0 && id != ClusterId::new(cluster));
                prop_assert_eq!(changed, matches!(observation, Observation::ClusterChanged { .. }));
            }
        }
    }
}

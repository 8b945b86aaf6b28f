//! Watches in the machine.

use super::Core;
use crate::key::HubKey;
use crate::{Error, StreamKey};

impl Core {
    pub(super) fn hub_received(&mut self, _hub: HubKey, _stream: StreamKey) {}

    pub(super) fn hub_lost(&mut self, _hub: HubKey, _stream: StreamKey, _result: Result<(), Error>) {}
}

//! `grpc.health.v1.Health` (v3rpc/health.go, grpc-go's health server).

use etcdium_proto::healthpb::health_check_response::ServingStatus;
use etcdium_proto::healthpb::{HealthCheckRequest, HealthCheckResponse};

use crate::model::cluster::Asked;
use crate::model::{Cluster, Status};

impl Cluster {
    /// etcd knows the empty service name only, which is always served.
    pub(super) fn health(&mut self, asked: Asked, request: &HealthCheckRequest) {
        if request.service.is_empty() {
            self.answer(asked.call, &HealthCheckResponse { status: ServingStatus::Serving as i32 });
        } else {
            self.end(asked.call, Status { code: 5, message: "unknown service".into() });
        }
    }
}

//! One connection of a member.

use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;

use futures_io::{AsyncRead, AsyncWrite};
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::http2::Builder;
use hyper::service::service_fn;

use super::exchange::{Answer, Exchange, refuse};
use super::head;
use super::host::{Host, News};
use super::runner::Spawner;
use super::stream::Stream;

/// What grpc-go's server grants (the default windows of HTTP/2, widened by its estimate of the bandwidth).
const WINDOW: u32 = 1024 * 1024;

/// Serves a connection of one member, counted from 0, to its end: the client leaves, the member is killed, the host
/// cuts it or stops. A member that is down drops it at once.
pub async fn serve<T>(io: T, host: Host, member: usize)
where
    T: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let Some(id) = host.connected(member) else { return };
    let service = service_fn(|request| answer(host.clone(), member, request));
    let mut builder = Builder::new(Spawner(host.runner().clone()));
    builder
        .max_concurrent_streams(None)
        // Clients that cancel much are no attack here.
        .max_pending_accept_reset_streams(usize::MAX >> 1)
        .max_local_error_reset_streams(None)
        .initial_stream_window_size(WINDOW)
        .initial_connection_window_size(16 * WINDOW)
        .auto_date_header(false);
    let mut connection = pin!(builder.serve_connection(Stream::new(io), service));
    poll_fn(|cx| {
        loop {
            match host.poll_news(id, cx) {
                Poll::Ready(News::Cut) => return Poll::Ready(()),
                Poll::Ready(News::GoAway) => connection.as_mut().graceful_shutdown(),
                Poll::Pending => break,
            }
        }
        // How a connection ended is seen by the client; nothing here depends on it.
        connection.as_mut().poll(cx).map(drop)
    })
    .await;
    host.disconnected(id);
}

async fn answer(
    host: Host,
    member: usize,
    request: Request<Incoming>,
) -> Result<Response<Answer>, Infallible> {
    let (head, body) = request.into_parts();
    Ok(match head::read(&head) {
        Ok(asked) => Exchange::open(&host, member, &asked, body).answer().await,
        Err(refusal) => refuse(&refusal),
    })
}

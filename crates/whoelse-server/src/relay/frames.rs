//! Frames of a WebSocket as iroh's relay wants them: at a bounded rate, of which so many wait, and cut at
//! any time.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use futures_core::Stream;
use futures_sink::Sink;
use iroh_relay::ExportKeyingMaterial;
use iroh_relay::protos::streams::StreamError;
use iroh_relay::server::streams::MaybeTlsStream;
use tokio::time::{Sleep, sleep, sleep_until};
use tokio_websockets::{Limits, Message, Payload, ServerBuilder, WebSocketStream};

use super::Cutter;
use super::allowance::Allowance;

/// Longest frame that is taken, in bytes: what iroh's relay takes, 64 KiB, and room for its head.
const FRAME_BYTES_MAX: usize = 128 * 1024;

/// How long a reader may take nothing. iroh's relay has a limit for what it writes, and none for when
/// that leaves.
const STALL_MAX: Duration = Duration::from_secs(10);

/// Whose allowance it is, once that is known.
pub(super) type Person = Arc<OnceLock<Arc<Allowance>>>;

/// The frames of one connection.
pub(super) struct Frames {
    socket: WebSocketStream<MaybeTlsStream>,
    /// Until it is known whose it is.
    own: Arc<Allowance>,
    person: Person,
    /// More has come than may: nothing is read until then.
    pause: Option<Pin<Box<Sleep>>>,
    /// Something wants to leave and cannot: so it goes on until then.
    stall: Option<Pin<Box<Sleep>>>,
    cut: Pin<Box<dyn Future<Output = ()> + Send>>,
    is_cut: bool,
}

impl Frames {
    /// The frames on a line that has become a WebSocket.
    pub(super) fn new(
        line: MaybeTlsStream,
        own: Arc<Allowance>,
        person: Person,
        cutter: &Cutter,
    ) -> Self {
        let limits = Limits::default().max_payload_len(Some(FRAME_BYTES_MAX));
        let socket = ServerBuilder::new().limits(limits).serve(line);
        let cutter = cutter.clone();
        let cut = Box::pin(async move { cutter.wait().await });
        Self { socket, own, person, pause: None, stall: None, cut, is_cut: false }
    }

    fn allowance(&self) -> &Arc<Allowance> {
        self.person.get().unwrap_or(&self.own)
    }

    /// Whether it was cut; if not, the task wakes when it is.
    fn is_cut(&mut self, context: &mut Context<'_>) -> bool {
        self.is_cut = self.is_cut || self.cut.as_mut().poll(context).is_ready();
        self.is_cut
    }

    fn poll_writing(
        &mut self,
        context: &mut Context<'_>,
        poll: impl FnOnce(
            Pin<&mut WebSocketStream<MaybeTlsStream>>,
            &mut Context<'_>,
        ) -> Poll<Result<(), tokio_websockets::Error>>,
    ) -> Poll<Result<(), StreamError>> {
        let failed = |kind| Poll::Ready(Err(StreamError::from_std(io::Error::from(kind))));
        if self.is_cut(context) {
            return failed(io::ErrorKind::ConnectionAborted);
        }
        let outcome = poll(Pin::new(&mut self.socket), context).map_err(StreamError::from_std);
        if outcome.is_ready() {
            self.stall = None;
            return outcome;
        }
        let stall = self.stall.get_or_insert_with(|| Box::pin(sleep(STALL_MAX)));
        ready!(stall.as_mut().poll(context));
        failed(io::ErrorKind::TimedOut)
    }

    /// Waits until as little has come as may.
    fn poll_pause(&mut self, context: &mut Context<'_>) -> Poll<()> {
        if let Some(pause) = &mut self.pause {
            ready!(pause.as_mut().poll(context));
            self.pause = None;
        }
        Poll::Ready(())
    }
}

impl Stream for Frames {
    type Item = Result<Bytes, StreamError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        if this.is_cut(context) {
            return Poll::Ready(None);
        }
        loop {
            ready!(this.poll_pause(context));
            let message = match ready!(Pin::new(&mut this.socket).poll_next(context)) {
                Some(Ok(message)) => message,
                Some(Err(error)) => return Poll::Ready(Some(Err(StreamError::from_std(error)))),
                None => return Poll::Ready(None),
            };
            if message.is_close() {
                return Poll::Ready(None);
            }
            // Whatever it is, it has come.
            let pause = this.allowance().consume(message.as_payload().len());
            this.pause = pause.map(|until| Box::pin(sleep_until(until)));
            if message.is_binary()
                && let Some(frame) = this.allowance().hold(message.as_payload())
            {
                return Poll::Ready(Some(Ok(frame)));
            }
        }
    }
}

impl Sink<Bytes> for Frames {
    type Error = StreamError;

    fn poll_ready(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Result<(), StreamError>> {
        self.poll_writing(context, Sink::poll_ready)
    }

    fn start_send(mut self: Pin<&mut Self>, bytes: Bytes) -> Result<(), StreamError> {
        let message = Message::binary(Payload::from(bytes));
        Pin::new(&mut self.socket).start_send(message).map_err(StreamError::from_std)
    }

    fn poll_flush(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Result<(), StreamError>> {
        self.poll_writing(context, Sink::poll_flush)
    }

    fn poll_close(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Result<(), StreamError>> {
        self.poll_writing(context, Sink::poll_close)
    }
}

impl ExportKeyingMaterial for Frames {
    fn export_keying_material<T: AsMut<[u8]>>(
        &self,
        output: T,
        label: &[u8],
        context: Option<&[u8]>,
    ) -> Option<T> {
        self.socket.get_ref().export_keying_material(output, label, context)
    }
}

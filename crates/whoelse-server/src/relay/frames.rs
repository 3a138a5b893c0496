//! Frames of a WebSocket as iroh's relay wants them: at a bounded rate, and cut at any time.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use futures_core::Stream;
use futures_sink::Sink;
use iroh_relay::ExportKeyingMaterial;
use iroh_relay::protos::streams::StreamError;
use iroh_relay::server::streams::{Bucket, MaybeTlsStream};
use tokio::time::{Sleep, sleep_until};
use tokio_websockets::{Limits, Message, Payload, ServerBuilder, WebSocketStream};

use super::Cutter;

/// Longest frame that is taken, in bytes: what iroh's relay takes, 64 KiB, and room for its head.
const FRAME_BYTES_MAX: usize = 128 * 1024;

/// What may come at once after a silence, as a part of a second.
const BURST: u32 = 10;

/// How often what may come is refilled.
const REFILL: Duration = Duration::from_millis(100);

/// The frames of one connection.
pub(super) struct Frames {
    socket: WebSocketStream<MaybeTlsStream>,
    bucket: Bucket,
    /// More has come than may: nothing is read until then.
    pause: Option<Pin<Box<Sleep>>>,
    cut: Pin<Box<dyn Future<Output = ()> + Send>>,
    is_cut: bool,
}

impl Frames {
    /// The frames on a line that has become a WebSocket.
    pub(super) fn new(
        line: MaybeTlsStream,
        bytes_per_second: u32,
        cutter: &Cutter,
    ) -> io::Result<Self> {
        let limits = Limits::default().max_payload_len(Some(FRAME_BYTES_MAX));
        let socket = ServerBuilder::new().limits(limits).serve(line);
        let burst = i64::from(bytes_per_second / BURST).max(1);
        let bucket = Bucket::new(burst, i64::from(bytes_per_second), REFILL)
            .map_err(|error| io::Error::other(error.to_string()))?;
        let cutter = cutter.clone();
        let cut = Box::pin(async move { cutter.wait().await });
        Ok(Self { socket, bucket, pause: None, cut, is_cut: false })
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
        if self.is_cut(context) {
            return Poll::Ready(Err(StreamError::from_std(io::Error::from(
                io::ErrorKind::ConnectionAborted,
            ))));
        }
        poll(Pin::new(&mut self.socket), context).map_err(StreamError::from_std)
    }
}

impl Stream for Frames {
    type Item = Result<Bytes, StreamError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        if this.is_cut(context) {
            return Poll::Ready(None);
        }
        if let Some(pause) = &mut this.pause {
            ready!(pause.as_mut().poll(context));
            this.pause = None;
        }
        loop {
            let message = match ready!(Pin::new(&mut this.socket).poll_next(context)) {
                Some(Ok(message)) => message,
                Some(Err(error)) => return Poll::Ready(Some(Err(StreamError::from_std(error)))),
                None => return Poll::Ready(None),
            };
            if message.is_close() {
                return Poll::Ready(None);
            }
            let is_binary = message.is_binary();
            let bytes: Bytes = message.into_payload().into();
            // Whatever it is, it has come.
            let pause = this.bucket.consume(bytes.len().max(1)).err();
            this.pause = pause.map(|until| Box::pin(sleep_until(until)));
            if is_binary {
                return Poll::Ready(Some(Ok(bytes)));
            }
            if let Some(pause) = &mut this.pause {
                ready!(pause.as_mut().poll(context));
                this.pause = None;
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

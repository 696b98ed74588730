//! Work that may block.

#[cfg(not(feature = "sim"))]
pub(crate) use tokio::task::spawn_blocking;

/// A simulation has one thread: work is done on the spot, so that its order is that of the calls.
#[cfg(feature = "sim")]
pub(crate) fn spawn_blocking<T>(
    work: impl FnOnce() -> T,
) -> std::future::Ready<Result<T, std::convert::Infallible>> {
    std::future::ready(Ok(work()))
}

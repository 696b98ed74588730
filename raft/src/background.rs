//! Long work that nobody waits for, on threads of its own that give way to all others: writing and
//! reading whole states takes seconds of a core, and an entry that comes in meanwhile waits for none of it.

use std::io;

/// A tenth of the share of a thread that does not give way: enough to come to an end on a machine that
/// is never idle, too little to be noticed there.
#[cfg(target_os = "linux")]
const NICE: i32 = 10;

/// From here on this thread, and those that it starts, give way.
pub fn give_way() {
    // Only Linux has a niceness for each thread. Elsewhere it is the process's.
    #[cfg(target_os = "linux")]
    if rustix::process::getpriority_process(None).is_ok_and(|nice| nice < NICE)
        && let Err(error) = rustix::process::setpriority_process(None, NICE)
    {
        tracing::debug!(%error, "a thread cannot give way to others");
    }
}

/// Runs `work` on a thread that gives way. A thread's niceness cannot be taken back without a
/// privilege, so it is not one of a pool.
#[cfg(not(feature = "sim"))]
pub async fn in_background<T: Send + 'static>(
    name: &str,
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    let (done, outcome) = tokio::sync::oneshot::channel();
    let thread = std::thread::Builder::new().name(name.to_owned());
    thread.spawn(move || {
        give_way();
        // Who asked may be gone.
        drop(done.send(work()));
    })?;
    let gone = |_| Err(io::Error::other(format!("the thread {name} has failed")));
    outcome.await.unwrap_or_else(gone)
}

/// A simulation has one thread: work is done on the spot, so that its order is that of the calls.
#[cfg(feature = "sim")]
pub fn in_background<T>(
    _: &str,
    work: impl FnOnce() -> io::Result<T>,
) -> std::future::Ready<io::Result<T>> {
    std::future::ready(work())
}

#[cfg(all(test, target_os = "linux", not(feature = "sim")))]
mod tests {
    use super::*;
    use rustix::process::getpriority_process;

    #[tokio::test]
    async fn only_the_thread_in_the_background_gives_way() {
        let before = getpriority_process(None).unwrap();
        let there = in_background("test", || Ok(getpriority_process(None)?)).await.unwrap();
        assert_eq!(there, before.max(NICE));
        assert_eq!(getpriority_process(None).unwrap(), before);
    }

    #[tokio::test]
    async fn a_thread_that_fails_is_an_error() {
        let failed = in_background::<()>("test", || panic!("on purpose")).await;
        assert!(failed.unwrap_err().to_string().contains("has failed"));
    }
}

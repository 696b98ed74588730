//! The one binary: a node, a local cluster and the command line.

/// What a snapshot shared with the state is given back by another thread than the one that made it, in
/// millions of pieces: the system's allocator makes whoever applies the log wait for that.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() {
    std::process::exit(nodes::cli::run());
}

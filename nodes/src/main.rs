//! The one binary: a node, a local cluster and the command line.

fn main() {
    std::process::exit(nodes::cli::run());
}

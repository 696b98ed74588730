//! Compiles etcd's few messages without a protoc on the machine.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo:rerun-if-changed=etcd.proto");
    let set = protox::compile(["etcd.proto"], ["."])?;
    tonic_prost_build::configure().build_server(false).compile_fds(set)?;
    Ok(())
}

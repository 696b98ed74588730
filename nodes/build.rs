//! Compiles the protocol files without a protoc on the machine.

use prost::Message as _;

#[expect(clippy::disallowed_methods, reason = "the folder that cargo names for what is made")]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    let files = [
        "proto/hearth.proto",
        "proto/inference.proto",
        "proto/model_repository.proto",
        "proto/feast/server.proto",
    ];
    for file in files.into_iter().chain(["proto/feast/serving.proto", "proto/feast/value.proto"]) {
        println!("cargo:rerun-if-changed={file}");
    }
    let set = protox::compile(files, ["proto"])?;
    let out = std::path::PathBuf::from(std::env::var("OUT_DIR")?).join("descriptor.bin");
    std::fs::write(out, set.encode_to_vec())?;
    tonic_prost_build::configure().compile_fds(set)?;
    Ok(())
}

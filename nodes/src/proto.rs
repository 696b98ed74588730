//! The generated protocol types.
#![allow(
    clippy::allow_attributes_without_reason,
    clippy::all,
    clippy::pedantic,
    missing_debug_implementations,
    unreachable_pub,
    unused_qualifications,
    elided_lifetimes_in_paths,
    reason = "generated code"
)]

pub mod hearth {
    tonic::include_proto!("hearth.v1");
}

pub mod inference {
    tonic::include_proto!("inference");

    /// Where MLServer's clients look for the same.
    pub mod model_repository {
        tonic::include_proto!("inference.model_repository");
    }
}

/// Feast's online serving.
pub mod feast {
    pub mod types {
        tonic::include_proto!("feast.types");
    }
    pub mod serving {
        tonic::include_proto!("feast.serving");
    }
}

/// Feast's own file of this has no package.
pub mod feast_server {
    use super::feast;
    tonic::include_proto!("_");
}

/// Every message and service, for server reflection.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptor.bin"));

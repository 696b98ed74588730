//! Sign-in: a name and a password for a bearer token.

use arrow_flight::{BasicAuth, HandshakeRequest, HandshakeResponse};
use base64::{
    Engine,
    alphabet::STANDARD,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use futures::stream;
use prost::Message;
use tonic::{Request, Response, Status, Streaming, metadata::MetadataMap};

use super::analyst::{Analyst, Boxed};

/// Go clients leave the padding out.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);
/// A payload larger than this is no name and password.
const PAYLOAD_BYTES_MAX: usize = 4096;

pub(super) async fn handshake(
    analyst: &Analyst,
    request: Request<Streaming<HandshakeRequest>>,
) -> Result<Response<Boxed<HandshakeResponse>>, Status> {
    let (user, password) = match basic_header(request.metadata())? {
        Some(pair) => pair,
        None => basic_payload(request.into_inner()).await?,
    };
    let token = analyst.live.sign_in(&user, &password)?;
    let answer = HandshakeResponse { protocol_version: 0, payload: token.clone().into() };
    let mut response = Response::new(Box::pin(stream::iter([Ok(answer)])) as Boxed<_>);
    let header = format!("Bearer {token}")
        .parse()
        .map_err(|_| Status::internal("the token cannot be sent as a header"))?;
    response.metadata_mut().insert("authorization", header);
    Ok(response)
}

fn basic_header(metadata: &MetadataMap) -> Result<Option<(String, String)>, Status> {
    let Some(header) = metadata.get("authorization") else { return Ok(None) };
    let refused =
        || Status::unauthenticated("sign in with `authorization: Basic <name:password in base64>`");
    let text = header.to_str().map_err(|_| refused())?;
    let (scheme, encoded) = text.split_once(' ').ok_or_else(refused)?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return Err(refused());
    }
    let decoded =
        BASE64.decode(encoded.trim()).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    let (user, password) =
        decoded.as_deref().and_then(|pair| pair.split_once(':')).ok_or_else(refused)?;
    Ok(Some((user.to_owned(), password.to_owned())))
}

/// Older clients send name and password in the message.
async fn basic_payload(
    mut requests: Streaming<HandshakeRequest>,
) -> Result<(String, String), Status> {
    let refused = || Status::unauthenticated("sign in with a name and a password");
    let request = requests.message().await?.ok_or_else(refused)?;
    if request.payload.is_empty() || request.payload.len() > PAYLOAD_BYTES_MAX {
        return Err(refused());
    }
    let pair = BasicAuth::decode(request.payload).map_err(|_| refused())?;
    Ok((pair.username, pair.password))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_and_a_password_are_read_with_and_without_padding() {
        let check = |header: &str, expected: Option<(&str, &str)>| {
            let mut metadata = MetadataMap::new();
            metadata.insert("authorization", header.parse().unwrap());
            let found = basic_header(&metadata).ok().flatten();
            let found = found.as_ref().map(|(user, password)| (user.as_str(), password.as_str()));
            assert_eq!(found, expected, "{header}");
        };
        check("Basic YWRhOmxvdmU=", Some(("ada", "love")));
        check("basic YWRhOmxvdmU", Some(("ada", "love")));
        check("Basic YTpiOmM=", Some(("a", "b:c")));
        check("Basic ????", None);
        check("Bearer YWRhOmxvdmU=", None);
    }
}

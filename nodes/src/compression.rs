//! Compressed messages, as gRPC's gzip and deflate. A service's limit holds for what a message becomes:
//! the transport stops unpacking there, so that a small message cannot fill the memory.

use http::{HeaderValue, Request};

const ENCODING: &str = "grpc-encoding";
const ACCEPTED: &str = "grpc-accept-encoding";

/// Lets a service take compressed messages and give such answers.
macro_rules! compressed {
    ($service:expr) => {{
        use tonic::codec::CompressionEncoding::{Deflate, Gzip};
        $service
            .accept_compressed(Gzip)
            .accept_compressed(Deflate)
            .send_compressed(Gzip)
            .send_compressed(Deflate)
    }};
}
pub(crate) use compressed;

/// Most clients say in every call that they could read a compressed answer. Only those that compress
/// their own messages get one, in the same way: for small answers it costs more than it saves.
pub(crate) fn answer_as_asked<B>(mut request: Request<B>) -> Request<B> {
    let headers = request.headers_mut();
    let asked = headers.get(ENCODING).cloned();
    let read = headers.remove(ACCEPTED);
    if let Some(asked) = asked.filter(|asked| names(read.as_ref(), asked)) {
        headers.insert(ACCEPTED, asked);
    }
    request
}

fn names(list: Option<&HeaderValue>, one: &HeaderValue) -> bool {
    let (Some(Ok(list)), Ok(one)) = (list.map(HeaderValue::to_str), one.to_str()) else {
        return false;
    };
    list.split(',').any(|each| each.trim() == one)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_compressed_as_the_call_was() {
        for (sent, read, answered) in [
            (None, Some("identity, deflate, gzip"), None),
            (Some("gzip"), Some("identity, deflate, gzip"), Some("gzip")),
            (Some("deflate"), Some("gzip,deflate"), Some("deflate")),
            (Some("gzip"), Some("identity"), None),
            (Some("gzip"), None, None),
        ] {
            let mut request = Request::builder();
            for (name, value) in [(ENCODING, sent), (ACCEPTED, read)] {
                if let Some(value) = value {
                    request = request.header(name, value);
                }
            }
            let request = answer_as_asked(request.body(()).unwrap());
            let left = request.headers().get(ACCEPTED).map(|value| value.to_str().unwrap());
            assert_eq!(left, answered, "{sent:?} {read:?}");
        }
    }
}

//! The actions beside prepared statements: session options, cancelling, renewing.

use std::collections::BTreeMap;

use arrow_flight::{
    Action, ActionType, CancelFlightInfoResult, CancelStatus, RenewFlightEndpointRequest,
};
use futures::stream;
use prost::Message;
use tonic::{Request, Response, Status};

use super::{
    analyst::{Analyst, Boxed},
    session_options::{
        CloseSessionResult, CloseStatus, GetSessionOptionsResult, OptionValue, SessionOptionValue,
        SetError, SetErrorValue, SetSessionOptionsRequest, SetSessionOptionsResult,
    },
};
use crate::{CATALOG, SCHEMA};

const ACTIONS: &[(&str, &str)] = &[
    ("SetSessionOptions", "Accepts catalog = hearth and schema = civil."),
    ("GetSessionOptions", "Gives catalog and schema."),
    ("CloseSession", "Prepared statements are closed one by one, or when they are idle."),
    ("CancelFlightInfo", "Nothing to cancel: a query ends when its stream is dropped."),
    ("RenewFlightEndpoint", "Tickets do not expire."),
];

pub(super) fn action_types() -> Vec<Result<ActionType, Status>> {
    let action = |(name, description): &(&str, &str)| {
        Ok(ActionType { r#type: (*name).to_owned(), description: (*description).to_owned() })
    };
    ACTIONS.iter().map(action).collect()
}

pub(super) fn act(
    analyst: &Analyst,
    request: Request<Action>,
) -> Result<Response<Boxed<arrow_flight::Result>>, Status> {
    analyst.caller(request.metadata())?;
    let action = request.into_inner();
    let body = match action.r#type.as_str() {
        "SetSessionOptions" => set_options(decode(&action)?).encode_to_vec(),
        "GetSessionOptions" => options().encode_to_vec(),
        // Connections of one caller share a token, so one that ends must not take the others' handles.
        "CloseSession" => CloseSessionResult { status: CloseStatus::Closed.into() }.encode_to_vec(),
        "CancelFlightInfo" => {
            CancelFlightInfoResult::new(CancelStatus::NotCancellable).encode_to_vec()
        }
        "RenewFlightEndpoint" => {
            let request: RenewFlightEndpointRequest = decode(&action)?;
            request.endpoint.unwrap_or_default().encode_to_vec()
        }
        other => return Err(Status::unimplemented(format!("there is no action {other}"))),
    };
    Ok(Response::new(Box::pin(stream::iter([Ok(arrow_flight::Result::new(body))]))))
}

fn decode<M: Message + Default>(action: &Action) -> Result<M, Status> {
    M::decode(&*action.body)
        .map_err(|error| Status::invalid_argument(format!("action {}: {error}", action.r#type)))
}

fn options() -> GetSessionOptionsResult {
    let text = |text: &str| SessionOptionValue { value: Some(OptionValue::Text(text.to_owned())) };
    let options = [("catalog", CATALOG), ("schema", SCHEMA)];
    GetSessionOptionsResult {
        options: options.into_iter().map(|(name, value)| (name.to_owned(), text(value))).collect(),
    }
}

/// There is one catalog with one schema, so these are the only values that can be set.
fn set_options(request: SetSessionOptionsRequest) -> SetSessionOptionsResult {
    let mut errors = BTreeMap::new();
    for (name, given) in request.options {
        let wanted = match name.as_str() {
            "catalog" => CATALOG,
            "schema" => SCHEMA,
            _ => {
                errors.insert(name, SetErrorValue { value: SetError::InvalidName.into() });
                continue;
            }
        };
        if !matches!(given.value, Some(OptionValue::Text(ref text)) if text == wanted) {
            errors.insert(name, SetErrorValue { value: SetError::InvalidValue.into() });
        }
    }
    SetSessionOptionsResult { errors }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_one_catalog_and_schema_can_be_set() {
        let text =
            |text: &str| SessionOptionValue { value: Some(OptionValue::Text(text.to_owned())) };
        let request = SetSessionOptionsRequest {
            options: BTreeMap::from([
                ("catalog".to_owned(), text("hearth")),
                ("schema".to_owned(), text("main")),
                ("colour".to_owned(), text("red")),
            ]),
        };
        let sent = SetSessionOptionsRequest::decode(&*request.encode_to_vec()).unwrap();
        let errors = set_options(sent).errors;
        assert_eq!(errors.len(), 2);
        assert_eq!(errors["schema"].value(), SetError::InvalidValue);
        assert_eq!(errors["colour"].value(), SetError::InvalidName);
    }
}

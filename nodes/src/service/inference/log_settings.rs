//! Triton's logging extension over this process's own log.

use crate::logging::{self, Change, Format, Switches};
use crate::proto::inference::log_settings_request::SettingValue as Asked;
use crate::proto::inference::log_settings_request::setting_value::ParameterChoice as AskedChoice;
use crate::proto::inference::log_settings_response::SettingValue as Told;
use crate::proto::inference::log_settings_response::setting_value::ParameterChoice as ToldChoice;
use crate::proto::inference::{LogSettingsRequest, LogSettingsResponse};
use std::collections::BTreeMap;
use std::path::Path;
use tonic::Status;

const SETTINGS: &str = "log_file, log_info, log_warning, log_error, log_verbose_level, log_format";

/// Changes what the request names, all of it or nothing, and tells what holds now.
pub(super) fn change(
    folder: &Path,
    request: LogSettingsRequest,
) -> Result<LogSettingsResponse, Status> {
    let asked: BTreeMap<String, Asked> = request.settings.into_iter().collect();
    let switches = logging::change(folder, |switches| {
        asked.iter().try_for_each(|(key, value)| set(switches, key, value))
    });
    match switches {
        Ok(switches) => Ok(told(&switches)),
        Err(Change::Refused(said)) => Err(Status::invalid_argument(said)),
        Err(Change::Unchangeable) => Err(Status::failed_precondition(
            "the log of this process belongs to the program around it",
        )),
    }
}

fn set(switches: &mut Switches, key: &str, value: &Asked) -> Result<(), String> {
    let wrong = |want: &str| Err(format!("log setting {key}: must be {want}"));
    match (key, &value.parameter_choice) {
        ("log_info", Some(AskedChoice::BoolParam(on))) => switches.info = *on,
        ("log_warning", Some(AskedChoice::BoolParam(on))) => switches.warning = *on,
        ("log_error", Some(AskedChoice::BoolParam(on))) => switches.error = *on,
        ("log_info" | "log_warning" | "log_error", _) => return wrong("true or false"),
        ("log_verbose_level", Some(AskedChoice::Uint32Param(level))) => switches.verbose = *level,
        ("log_verbose_level", _) => return wrong("a number: 1 for debug, 2 for trace"),
        ("log_format", Some(AskedChoice::StringParam(format))) => match format.as_str() {
            "default" => switches.format = Format::Default,
            "ISO8601" => switches.format = Format::Iso8601,
            _ => return wrong("default or ISO8601"),
        },
        ("log_format", _) => return wrong("default or ISO8601"),
        ("log_file", Some(AskedChoice::StringParam(file))) => switches.file.clone_from(file),
        ("log_file", _) => return wrong("a file name, or empty for standard error"),
        _ => return Err(format!("unknown log setting {key:?}: one of {SETTINGS}")),
    }
    Ok(())
}

fn told(switches: &Switches) -> LogSettingsResponse {
    let format = match switches.format {
        Format::Default => "default",
        Format::Iso8601 => "ISO8601",
    };
    let settings = [
        ("log_file", ToldChoice::StringParam(switches.file.clone())),
        ("log_info", ToldChoice::BoolParam(switches.info)),
        ("log_warning", ToldChoice::BoolParam(switches.warning)),
        ("log_error", ToldChoice::BoolParam(switches.error)),
        ("log_verbose_level", ToldChoice::Uint32Param(switches.verbose)),
        ("log_format", ToldChoice::StringParam(format.to_owned())),
    ];
    let told =
        settings.map(|(key, choice)| (key.to_owned(), Told { parameter_choice: Some(choice) }));
    LogSettingsResponse { settings: told.into() }
}

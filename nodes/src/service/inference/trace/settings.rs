//! Which requests are traced: settings for all models, and a model's own where it has some.

use crate::proto::inference::TraceSettingResponse;
use crate::proto::inference::trace_setting_request::SettingValue as Asked;
use crate::proto::inference::trace_setting_response::SettingValue as Told;
use std::collections::{BTreeMap, HashMap};
use tonic::Status;

const FILE_NAME_MAX: usize = 64;
/// Only what Triton calls its own mode; the other one needs a collector.
const MODE: &str = "triton";

#[derive(Debug, Default)]
pub(super) struct Settings {
    all: Scope,
    of_model: BTreeMap<String, Scope>,
}

/// What is set in one place, and how many requests it has seen.
#[derive(Clone, Debug, Default)]
struct Scope {
    level: Option<Level>,
    rate: Option<u64>,
    /// Traces that are still to be made; negative: no end.
    count: Option<i64>,
    log_frequency: Option<u64>,
    file: Option<String>,
    seen: u64,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Level {
    timestamps: bool,
    tensors: bool,
}

/// How a request is traced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Sample {
    pub(super) timestamps: bool,
    pub(super) tensors: bool,
    pub(super) log_frequency: u64,
    pub(super) file: String,
}

impl Scope {
    /// One setting from its words; no words take it back to what it is by itself.
    fn change(&mut self, key: &str, words: &[String]) -> Result<(), Status> {
        let wrong = |want: &str| {
            let got = words.join(", ");
            Status::invalid_argument(format!("trace setting {key}: {want}, got {got:?}"))
        };
        let [first, rest @ ..] = words else {
            match key {
                "trace_level" => self.level = None,
                "trace_rate" => self.rate = None,
                "trace_count" => self.count = None,
                "log_frequency" => self.log_frequency = None,
                "trace_file" => self.file = None,
                "trace_mode" => {}
                _ => return Err(unknown(key)),
            }
            return Ok(());
        };
        if key == "trace_level" {
            self.level =
                Some(Level::read(words).ok_or_else(|| {
                    wrong("must be OFF, or TIMESTAMPS and TENSORS or one of them")
                })?);
            return Ok(());
        }
        if !rest.is_empty() {
            return Err(wrong("must be one value"));
        }
        match key {
            "trace_rate" => {
                let rate = first.parse().ok().filter(|rate| *rate > 0);
                self.rate = Some(rate.ok_or_else(|| wrong("must be 1 or more"))?);
            }
            "trace_count" => {
                let count = first.parse().ok().filter(|count| *count >= -1);
                self.count = Some(count.ok_or_else(|| wrong("must be -1 (no end) or more"))?);
            }
            "log_frequency" => {
                self.log_frequency = Some(first.parse().map_err(|_| wrong("must be 0 or more"))?);
            }
            "trace_file" => {
                let said = "must be a plain file name: it lies in traces/ of the node's folder";
                self.file = Some(file_name(first).ok_or_else(|| wrong(said))?);
            }
            "trace_mode" if first == MODE => {}
            "trace_mode" => return Err(wrong("must be triton")),
            _ => return Err(unknown(key)),
        }
        Ok(())
    }

    fn is_empty(&self) -> bool {
        self.level.is_none()
            && self.rate.is_none()
            && self.count.is_none()
            && self.log_frequency.is_none()
            && self.file.is_none()
    }
}

fn unknown(key: &str) -> Status {
    Status::invalid_argument(format!(
        "unknown trace setting {key:?}: one of trace_level, trace_rate, trace_count, log_frequency, trace_file, trace_mode"
    ))
}

fn file_name(text: &str) -> Option<String> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
    let good = (1..=FILE_NAME_MAX).contains(&text.len())
        && !text.starts_with('.')
        && text.bytes().all(plain);
    good.then(|| text.to_owned())
}

impl Level {
    fn read(words: &[String]) -> Option<Self> {
        let mut level = Self::default();
        for word in words {
            match word.as_str() {
                "OFF" if words.len() == 1 => {}
                "TIMESTAMPS" => level.timestamps = true,
                "TENSORS" => level.tensors = true,
                _ => return None,
            }
        }
        Some(level)
    }

    fn words(self) -> Vec<String> {
        let mut words = Vec::new();
        if self.timestamps {
            words.push("TIMESTAMPS".to_owned());
        }
        if self.tensors {
            words.push("TENSORS".to_owned());
        }
        if words.is_empty() {
            words.push("OFF".to_owned());
        }
        words
    }
}

impl Settings {
    /// All of them or, where one is wrong, none.
    pub(super) fn change(
        &mut self,
        model: &str,
        asked: HashMap<String, Asked>,
    ) -> Result<(), Status> {
        let now = if model.is_empty() { Some(&self.all) } else { self.of_model.get(model) };
        let mut scope = now.cloned().unwrap_or_default();
        for (key, value) in asked.into_iter().collect::<BTreeMap<_, _>>() {
            scope.change(&key, &value.value)?;
        }
        if model.is_empty() {
            self.all = scope;
        } else if scope.is_empty() {
            self.of_model.remove(model);
        } else {
            self.of_model.insert(model.to_owned(), scope);
        }
        Ok(())
    }

    pub(super) fn told(&self, model: &str) -> TraceSettingResponse {
        let own = self.of_model.get(model);
        let one = |text: String| vec![text];
        let count = own.and_then(|own| own.count).or(self.all.count).unwrap_or(-1);
        let sample = self.how(own);
        let level = Level { timestamps: sample.timestamps, tensors: sample.tensors };
        let settings = [
            ("trace_level", level.words()),
            ("trace_rate", one(self.rate(own).to_string())),
            ("trace_count", one(count.to_string())),
            ("log_frequency", one(sample.log_frequency.to_string())),
            ("trace_file", one(sample.file)),
            ("trace_mode", one(MODE.to_owned())),
        ];
        let told = settings.map(|(key, value)| (key.to_owned(), Told { value }));
        TraceSettingResponse { settings: told.into() }
    }

    fn rate(&self, own: Option<&Scope>) -> u64 {
        own.and_then(|own| own.rate).or(self.all.rate).unwrap_or(1_000)
    }

    fn how(&self, own: Option<&Scope>) -> Sample {
        let level = own.and_then(|own| own.level).or(self.all.level).unwrap_or_default();
        let file = own.and_then(|own| own.file.clone()).or_else(|| self.all.file.clone());
        let frequency = own.and_then(|own| own.log_frequency).or(self.all.log_frequency);
        Sample {
            timestamps: level.timestamps,
            tensors: level.tensors,
            log_frequency: frequency.unwrap_or(0),
            file: file.unwrap_or_else(|| "trace.json".to_owned()),
        }
    }

    /// Whether any request of any model may be traced.
    pub(super) fn is_on(&self) -> bool {
        let scopes = std::iter::once(None).chain(self.of_model.values().map(Some));
        scopes.into_iter().any(|own| {
            let sample = self.how(own);
            let count = own.and_then(|own| own.count).or(self.all.count);
            (sample.timestamps || sample.tensors) && count != Some(0)
        })
    }

    /// Counts a request; gives how it is traced, if it is.
    pub(super) fn sample(&mut self, model: &str) -> Option<Sample> {
        let own = self.of_model.get(model);
        let (rate, sample) = (self.rate(own), self.how(own));
        if !sample.timestamps && !sample.tensors {
            return None;
        }
        let scope = self.of_model.get_mut(model).unwrap_or(&mut self.all);
        scope.seen += 1;
        if !scope.seen.is_multiple_of(rate) {
            return None;
        }
        // A model without a count of its own draws from that of all.
        let scope = match self.of_model.get_mut(model) {
            Some(own) if own.count.is_some() => own,
            _ => &mut self.all,
        };
        match &mut scope.count {
            Some(0) => return None,
            Some(left) if *left > 0 => *left -= 1,
            _ => {}
        }
        Some(sample)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(settings: &[(&str, &[&str])]) -> HashMap<String, Asked> {
        let value =
            |words: &[&str]| Asked { value: words.iter().map(|word| (*word).into()).collect() };
        settings.iter().map(|(key, words)| ((*key).to_owned(), value(words))).collect()
    }

    fn told(settings: &Settings, model: &str, key: &str) -> String {
        settings.told(model).settings[key].value.join(",")
    }

    #[test]
    fn every_nth_request_until_the_count_is_used_up() {
        let mut settings = Settings::default();
        assert!(!settings.is_on() && settings.sample("m").is_none());
        let wanted: &[(&str, &[&str])] =
            &[("trace_level", &["TIMESTAMPS"]), ("trace_rate", &["3"]), ("trace_count", &["2"])];
        settings.change("", asked(wanted)).unwrap();
        assert!(settings.is_on());
        let traced: Vec<bool> = (0..12).map(|_| settings.sample("m").is_some()).collect();
        let at: Vec<usize> = (0..12).filter(|at| traced[*at]).collect();
        assert_eq!(at, [2, 5]);
        assert_eq!(told(&settings, "", "trace_count"), "0");
        assert!(!settings.is_on());
    }

    #[test]
    fn a_models_own_setting_goes_before_that_of_all_until_it_is_cleared() {
        let mut settings = Settings::default();
        settings.change("", asked(&[("trace_rate", &["7"])])).unwrap();
        settings
            .change(
                "m",
                asked(&[("trace_level", &["TENSORS", "TIMESTAMPS"]), ("trace_rate", &["1"])]),
            )
            .unwrap();
        assert_eq!(told(&settings, "m", "trace_level"), "TIMESTAMPS,TENSORS");
        assert_eq!(told(&settings, "", "trace_level"), "OFF");
        assert!(settings.sample("other").is_none());
        assert!(settings.sample("m").is_some_and(|sample| sample.tensors && sample.timestamps));
        settings.change("m", asked(&[("trace_rate", &[])])).unwrap();
        assert_eq!(told(&settings, "m", "trace_rate"), "7");
        settings.change("m", asked(&[("trace_level", &[])])).unwrap();
        assert!(settings.of_model.is_empty() && !settings.is_on());
    }

    #[test]
    fn a_wrong_setting_changes_nothing() {
        let mut settings = Settings::default();
        for (key, words) in [
            ("trace_level", &["LOUD"][..]),
            ("trace_level", &["OFF", "TENSORS"]),
            ("trace_rate", &["0"]),
            ("trace_rate", &["1", "2"]),
            ("trace_count", &["-2"]),
            ("log_frequency", &["often"]),
            ("trace_file", &["/tmp/t.json"]),
            ("trace_file", &["../t.json"]),
            ("trace_file", &[".hidden"]),
            ("trace_file", &[""]),
            ("trace_mode", &["opentelemetry"]),
            ("volume", &["11"]),
            ("volume", &[]),
        ] {
            let both = asked(&[(key, words), ("trace_count", words)]);
            let refused = settings.change("", both).unwrap_err();
            assert_eq!(refused.code(), tonic::Code::InvalidArgument);
            assert!(!refused.message().contains('\n'), "{refused}");
        }
        assert!(settings.all.is_empty());
    }
}

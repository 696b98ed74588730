//! Chinese and English: every word that a reader sees exists in both.

use crate::Error;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::sync::LazyLock;

/// The language of a rendered report.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Language {
    #[default]
    Zh,
    En,
}

impl std::str::FromStr for Language {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        match text {
            "zh" => Ok(Self::Zh),
            "en" => Ok(Self::En),
            _ => Err(Error::Choice { what: "language", asked: text.to_owned(), choices: "zh, en" }),
        }
    }
}

/// The same words in both languages.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Words {
    pub zh: String,
    pub en: String,
}

impl Words {
    pub fn of(&self, language: Language) -> &str {
        match language {
            Language::Zh => &self.zh,
            Language::En => &self.en,
        }
    }
}

// Codes are shown as they are where the file cannot be read; a test holds that it can.
static TERMS: LazyLock<BTreeMap<String, Words>> = LazyLock::new(|| {
    toml::from_str(include_str!("../catalogue/shared/terms.toml")).unwrap_or_default()
});

/// What a code is called, or the code.
pub(crate) fn term(code: &str, language: Language) -> &str {
    TERMS.get(code).map_or(code, |words| words.of(language))
}

/// The fixed words of a page.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Label {
    Question,
    AskedAt,
    LogIndex,
    Definition,
    Rows,
    NoRows,
    All,
    Yes,
    No,
    Other,
    Data,
    About,
}

impl Label {
    pub(crate) fn of(self, language: Language) -> &'static str {
        let (zh, en) = match self {
            Self::Question => ("问题", "Question"),
            Self::AskedAt => ("查询时间", "Asked at"),
            Self::LogIndex => ("日志序号", "Log index"),
            Self::Definition => ("报表定义", "Definition"),
            Self::Rows => ("行数", "Rows"),
            Self::NoRows => ("没有符合条件的数据", "Nothing matches these parameters"),
            Self::All => ("全部", "all"),
            Self::Yes => ("是", "yes"),
            Self::No => ("否", "no"),
            Self::Other => ("其他", "other"),
            Self::Data => ("数据", "Data"),
            Self::About => ("说明", "About"),
        };
        match language {
            Language::Zh => zh,
            Language::En => en,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_known_code_has_a_name_and_an_unknown_one_stays() {
        assert_eq!(term("smoke", Language::Zh), "烟感");
        assert_eq!(term("no_visit", Language::En), "no visit");
        assert_eq!(term("xyz", Language::Zh), "xyz");
    }
}

//! What this server is and can do, as clients ask for it.

use arrow::array::RecordBatch;
use arrow_flight::sql::{
    CommandGetSqlInfo, SqlInfo, SqlSupportedCaseSensitivity, SqlSupportedTransaction,
    metadata::{SqlInfoData, SqlInfoDataBuilder},
};

use crate::Error;

/// Tools that speak DuckDB's dialect look for this form.
pub(super) const SERVER_VERSION: &str = "duckdb v1.5.6";
/// The Arrow format, not the library.
const ARROW_FORMAT: &str = "1.4";

pub(super) fn sql_infos() -> Result<SqlInfoData, Error> {
    let mut infos = SqlInfoDataBuilder::new();
    infos.append(SqlInfo::FlightSqlServerName, "hearth");
    infos.append(SqlInfo::FlightSqlServerVersion, SERVER_VERSION);
    infos.append(SqlInfo::FlightSqlServerArrowVersion, ARROW_FORMAT);
    infos.append(SqlInfo::FlightSqlServerReadOnly, false);
    infos.append(SqlInfo::FlightSqlServerSql, true);
    infos.append(SqlInfo::FlightSqlServerSubstrait, false);
    infos.append(SqlInfo::FlightSqlServerTransaction, SqlSupportedTransaction::None as i32);
    infos.append(SqlInfo::FlightSqlServerCancel, false);
    infos.append(SqlInfo::FlightSqlServerBulkIngestion, true);
    infos.append(SqlInfo::FlightSqlServerIngestTransactionsSupported, false);
    infos.append(SqlInfo::SqlDdlCatalog, false);
    infos.append(SqlInfo::SqlDdlSchema, false);
    infos.append(SqlInfo::SqlDdlTable, false);
    let insensitive = SqlSupportedCaseSensitivity::SqlCaseSensitivityCaseInsensitive as i32;
    infos.append(SqlInfo::SqlIdentifierCase, insensitive);
    infos.append(SqlInfo::SqlIdentifierQuoteChar, "\"");
    infos.append(SqlInfo::SqlQuotedIdentifierCase, insensitive);
    infos.append(SqlInfo::SqlAllTablesAreSelectable, true);
    infos.append(SqlInfo::SqlSearchStringEscape, "\\");
    infos.append(SqlInfo::SqlSupportsColumnAliasing, true);
    infos.append(SqlInfo::SqlNullPlusNullIsNull, true);
    infos.append(SqlInfo::SqlSupportsTableCorrelationNames, true);
    infos.append(SqlInfo::SqlSupportsExpressionsInOrderBy, true);
    infos.append(SqlInfo::SqlSupportsOrderByUnrelated, true);
    infos.append(SqlInfo::SqlSupportsLikeEscapeClause, true);
    infos.append(SqlInfo::SqlSupportsNonNullableColumns, false);
    infos.append(SqlInfo::SqlSchemaTerm, "schema");
    infos.append(SqlInfo::SqlCatalogTerm, "catalog");
    infos.append(SqlInfo::SqlCatalogAtStart, true);
    infos.append(SqlInfo::SqlCorrelatedSubqueriesSupported, true);
    infos.append(SqlInfo::SqlTransactionsSupported, false);
    infos.build().map_err(|error| Error::Internal(error.to_string()))
}

pub(super) fn batch(infos: &SqlInfoData, command: CommandGetSqlInfo) -> Result<RecordBatch, Error> {
    command.into_builder(infos).build().map_err(|error| Error::Internal(error.to_string()))
}

//! Commands whose answer is small and made at once; the command itself is the ticket.

use arrow::array::RecordBatch;
use arrow_flight::sql::{Any, Command};
use prost::Message;
use tonic::Status;

use super::{analyst::Analyst, catalog, keys, sql_info, type_info};

/// The answer, where the bytes are such a command.
pub(super) fn answer(analyst: &Analyst, command: &[u8]) -> Option<Result<RecordBatch, Status>> {
    let command = Command::try_from(Any::decode(command).ok()?).ok()?;
    let broken = |error: &crate::Error| Status::internal(error.to_string());
    let batch = match command {
        Command::CommandGetCatalogs(command) => catalog::catalogs(command),
        Command::CommandGetDbSchemas(command) => catalog::schemas(command),
        Command::CommandGetTables(command) => catalog::tables(analyst, command),
        Command::CommandGetTableTypes(command) => catalog::table_types(command),
        Command::CommandGetPrimaryKeys(command) => keys::primary_keys(&command),
        Command::CommandGetExportedKeys(_)
        | Command::CommandGetImportedKeys(_)
        | Command::CommandGetCrossReference(_) => Ok(keys::foreign_keys()),
        Command::CommandGetSqlInfo(command) => match &analyst.sql_infos {
            Ok(infos) => sql_info::batch(infos, command),
            Err(error) => return Some(Err(broken(error))),
        },
        Command::CommandGetXdbcTypeInfo(command) => match &analyst.type_infos {
            Ok(infos) => type_info::batch(infos, command),
            Err(error) => return Some(Err(broken(error))),
        },
        _ => return None,
    };
    Some(batch.map_err(Status::from))
}

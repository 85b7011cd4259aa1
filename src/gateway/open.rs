//! Connections to AWS hosts in flight, so that a rule can cut them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio_util::sync::CancellationToken;

use super::Rule;
use super::aws_host::AwsHost;

/// The table. Only AWS hosts are listed: no rule can be about another. Clones share it.
#[derive(Debug, Clone, Default)]
pub(super) struct Open(Arc<Mutex<Table>>);

#[derive(Debug, Default)]
struct Table {
    next: u64,
    entries: HashMap<u64, (AwsHost, CancellationToken)>,
}

/// A line in the table, gone when dropped.
#[derive(Debug)]
pub(super) struct Entry {
    number: u64,
    table: Open,
}

impl Open {
    /// Lists a connection. Must happen before the rules are asked: then a rule with a cut, which is put before the table is read, misses none.
    pub fn enter(&self, host: Option<&AwsHost>, cut: &CancellationToken) -> Option<Entry> {
        let host = host?;
        let mut table = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        table.next += 1;
        let number = table.next;
        table.entries.insert(number, (host.clone(), cut.clone()));
        Some(Entry { number, table: self.clone() })
    }

    /// Cuts what the rule covers.
    pub fn cut(&self, rule: &Rule) {
        let table = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let covered = table.entries.values().filter(|(host, _)| rule.covers(host));
        let cuts: Vec<CancellationToken> = covered.map(|(_, cut)| cut.clone()).collect();
        drop(table);
        cuts.iter().for_each(CancellationToken::cancel);
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.table.0.lock().unwrap_or_else(PoisonError::into_inner).entries.remove(&self.number);
    }
}

//! The machine under the server: power cuts, ends of the process, recovery, and the disk's work.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use whoelse_engine::{Engine, Input, Record, Turn};
use whoelse_server::database::Projector;
use whoelse_server::journal::{BatchNumber, Journal, JournalOptions, JournalStart};
use whoelse_server::store::Sequence;
use whoelse_server::tail::Tail;
use whoelse_server::turns::Turns;

use super::{Fallible, Running, SERVER_ID, World};
use crate::sim::disk::SimDisk;

const JOURNAL: JournalOptions =
    JournalOptions { segment_bytes: 16 << 10, batch_bytes_max: 128, spares: 1, free_max: 4 };

impl World {
    /// The power goes: what was not synced may be gone, in part and in any order.
    pub(super) fn crash(&mut self) -> Fallible {
        self.stats.crashes += 1;
        self.disk = self.disk.crash();
        self.start(true)
    }

    /// The process ends: everything written is there.
    pub(super) fn kill(&mut self) -> Fallible {
        self.stats.kills += 1;
        let written = self.running.as_ref().map(|running| running.journal.written().0);
        self.disk = self.disk.kill();
        self.start(true)?;
        let recovered = self.records_at_batch.last_key_value().map(|(batch, _)| *batch);
        if recovered < written.filter(|written| self.records_at_batch.contains_key(written)) {
            return Err(format!("written up to {written:?}, found up to {recovered:?}"));
        }
        Ok(())
    }

    pub(super) fn start(&mut self, is_restart: bool) -> Fallible {
        self.running = None;
        for client in &mut self.clients {
            client.lose_line();
        }
        let position = self.database.position().map_err(|error| error.to_string())?;
        let start = JournalStart { server_id: SERVER_ID, position, existing: is_restart };
        let disk: Arc<SimDisk> = Arc::clone(&self.disk);
        let (journal, recovered) = Journal::open(disk, JOURNAL, &start)
            .map_err(|error| format!("cannot be opened after a crash: {error}"))?;
        let snapshot = self.database.load().map_err(|error| error.to_string())?;
        let mut engine = Engine::new(self.rules.clone(), SERVER_ID.into(), &snapshot);
        let mut tail = Tail::default();
        let mut projector = Projector::default();
        let mut found = self.records_at(position)?;
        for (batch, records) in recovered.batches {
            for record in &records {
                if self.records.get(found) != Some(record) {
                    return Err(format!(
                        "record {found} is not the one that was written: {record:?}"
                    ));
                }
                found += 1;
                engine.apply(record);
                tail.record(Sequence(0), record);
            }
            self.records_at_batch.insert(batch.0, found);
            projector.push(batch, records);
        }
        self.compare_recovered(found, &engine)?;
        self.running = Some(Running {
            journal,
            engine,
            turns: Turns::default(),
            tail,
            projector,
            turn: Turn::default(),
            lanes: BTreeMap::new(),
            unsynced: VecDeque::new(),
            pushed: Sequence(0),
        });
        self.input(Input::Started)?;
        self.remember();
        self.flush()
    }

    pub(super) fn records_at(&self, batch: BatchNumber) -> Result<usize, String> {
        let known = self.records_at_batch.get(&batch.0).copied();
        known.ok_or_else(|| format!("the database is at batch {}, which ends no append", batch.0))
    }

    /// What was recovered must be what there was after exactly so many records, and no fewer than
    /// were promised.
    pub(super) fn compare_recovered(&mut self, found: usize, engine: &Engine) -> Fallible {
        if found < self.safe {
            return Err(format!("{} records were safe, {found} were found", self.safe));
        }
        self.stats.taken_back += (self.records.len() - found) as u64;
        self.records.truncate(found);
        self.records_at_batch.retain(|_, records| *records <= found);
        self.safe = found;
        if self.history.is_empty() {
            return Ok(()); // the first start
        }
        let state = self.history.iter().rfind(|(records, _)| *records <= found);
        let Some((records, mut model)) = state.cloned() else {
            return Err(format!("no state is known after {found} records"));
        };
        // Several records may come of one input, and the last of them may be lost.
        for record in &self.records[records..found] {
            if !model.replay(record) {
                return Err(format!("recovered in the middle of an input: {record:?}"));
            }
            let is_usual = matches!(record, Record::Logout { .. } | Record::Heartbeat { .. });
            self.stats.torn += u64::from(!is_usual);
        }
        let newest = self.records.iter().filter_map(Record::time).max().unwrap_or_default().0;
        self.now = self.now.max(newest);
        self.model = model;
        self.model.restarted(self.now, newest);
        self.history.clear();
        // If even the ends of the sessions are lost again, the next start finds the same.
        self.history.push_back((found, self.model.clone()));
        if engine.newest().0 != newest {
            return Err(format!("newest is {}, not {newest}", engine.newest().0));
        }
        Ok(())
    }

    /// Notes the state of the model after the records there are.
    pub(super) fn remember(&mut self) {
        let pending = self.running.as_ref().map_or(0, |running| running.turn.records.len());
        let records = self.records.len() + pending;
        if self.history.back().is_none_or(|(known, _)| *known < records) {
            self.history.push_back((records, self.model.clone()));
        }
    }

    /// Ends the turn: its records are written.
    pub(super) fn flush(&mut self) -> Fallible {
        self.remember();
        let Some(running) = &mut self.running else { return Ok(()) };
        let turn = std::mem::take(&mut running.turn);
        if let Some((sequence, records)) = running.turns.end(turn) {
            for record in &records {
                running.tail.record(sequence, record);
            }
            self.records.extend(records.iter().cloned());
            match running.journal.append(std::slice::from_ref(&records)) {
                Ok(batch) => {
                    self.records_at_batch.insert(batch.0, self.records.len());
                    running.unsynced.push_back((sequence, batch, records));
                }
                Err(error) => return self.stopped(&error.to_string()),
            }
        }
        self.release()
    }

    pub(super) fn sync(&mut self) -> Fallible {
        let Some(running) = &mut self.running else { return Ok(()) };
        let synced = match running.journal.sync() {
            Ok(synced) => synced,
            Err(error) => return self.stopped(&error.to_string()),
        };
        while let Some((sequence, batch, records)) =
            running.unsynced.pop_front_if(|(_, batch, _)| *batch <= synced)
        {
            running.turns.synced(sequence);
            running.projector.push(batch, records);
            running.pushed = sequence;
            self.safe = self.records_at_batch[&batch.0];
        }
        let safe = self.safe;
        while self.history.get(1).is_some_and(|(records, _)| *records <= safe) {
            self.history.pop_front();
        }
        self.release()
    }

    pub(super) fn project(&mut self) -> Fallible {
        let Some(running) = &mut self.running else { return Ok(()) };
        if running.projector.is_empty() {
            return Ok(());
        }
        let project = running.projector.project(&mut self.database);
        let position = project.map_err(|error| error.to_string())?;
        self.stats.projections += 1;
        running.journal.release(position);
        running.tail.projected(running.pushed);
        while let Some(chore) = running.journal.chore() {
            let done = chore.run(&*self.disk);
            if let Err(error) = running.journal.chore_done(done) {
                return self.stopped(&error.to_string());
            }
        }
        Ok(())
    }

    /// The disk failed, which must have been our doing: the server ends at once, and the power goes.
    pub(super) fn stopped(&mut self, why: &str) -> Fallible {
        if !self.disk.stopped() {
            return Err(format!("the journal failed on a disk that works: {why}"));
        }
        self.stats.stops += 1;
        self.crash()
    }
}

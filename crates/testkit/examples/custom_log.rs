//! A log of your own: implement `UpdateLog`, then let the suite tell you what you forgot.
//!
//! This one keeps its records in memory and loses at a crash what was not synced, which is the
//! most that the port allows. Run it with `cargo run -p lastword-testkit --example custom_log`.

use std::error::Error;
use std::ops::ControlFlow;

use lastword_ports::{
    Durable, Frame, LogId, Lsn, Place, StoreError, StoreErrorKind, Stream, UpdateLog,
};
use lastword_testkit::conformance::{check_update_log, harness};

/// Every frame that was ever appended, in order; the position of the first is 1.
struct MyLog {
    id: LogId,
    frames: Vec<Option<(Stream, Vec<u8>)>>,
    synced_count: usize,
}

impl MyLog {
    fn new(id: LogId) -> Self {
        Self { id, frames: Vec::new(), synced_count: 0 }
    }

    /// What a crash leaves: the frames up to the last sync.
    fn crash(mut self) -> Self {
        self.frames.truncate(self.synced_count);
        self
    }

    fn lsn(&self, count: usize) -> Lsn {
        Lsn { log: self.id, position: count as u64 }
    }

    /// A place of another log is refused: its numbers mean nothing here.
    fn count(&self, stream: Stream, lsn: Lsn) -> Result<usize, StoreError> {
        let place = Place { stream: Some(stream), position: Some(lsn.position) };
        let refused = || StoreError::new(StoreErrorKind::Refused, place, "not a place of this log");
        let count = usize::try_from(lsn.position).ok().filter(|_| lsn.log == self.id);
        count.filter(|count| *count <= self.frames.len()).ok_or_else(refused)
    }
}

impl UpdateLog for MyLog {
    fn append(&mut self, batch: &[Frame<'_>]) -> Result<Lsn, StoreError> {
        // One call adds the whole batch, and `crash` cuts between batches only.
        self.frames.extend(batch.iter().map(|frame| match *frame {
            Frame::Record { stream, body } => Some((stream, body.to_vec())),
            // A card has a position too; a store that is also a `SnapshotStore` keeps its bytes.
            Frame::Card { .. } => None,
        }));
        Ok(self.lsn(self.frames.len()))
    }

    fn sync(&mut self) -> Result<Durable, StoreError> {
        // A log on a disk writes and syncs here, and only then says that it did.
        self.synced_count = self.frames.len();
        Ok(Durable::attest(self.lsn(self.synced_count)))
    }

    fn replay(
        &self,
        stream: Stream,
        after: Option<Lsn>,
        visit: &mut dyn FnMut(Lsn, &[u8]) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        let after = after.map_or(Ok(0), |lsn| self.count(stream, lsn))?;
        for (index, frame) in self.frames.iter().enumerate().skip(after) {
            let Some((_, body)) = frame.as_ref().filter(|(owner, _)| *owner == stream) else {
                continue;
            };
            if visit(self.lsn(index + 1), body).is_break() {
                break;
            }
        }
        Ok(())
    }

    fn prune(&mut self, stream: Stream, upto: Lsn) -> Result<(), StoreError> {
        let upto = self.count(stream, upto)?;
        for frame in &mut self.frames[..upto] {
            // The place stays, so that positions go on rising.
            frame.take_if(|(owner, _)| *owner == stream);
        }
        Ok(())
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut logs = 0;
    let open = || {
        logs += 1;
        MyLog::new(LogId([logs; 16]))
    };
    check_update_log(&mut harness(open, MyLog::crash))?;
    Ok(())
}

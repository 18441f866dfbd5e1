//! A hash table of handles whose keys lie elsewhere: [`HandleTable`].

/// A slot that was never used: a search ends here.
const EMPTY: u8 = 0;
/// A slot whose handle was taken out: a search goes on.
const GONE: u8 = 1;
/// Set in the tag of every slot that holds a handle; the other bits are of its hash.
const FULL: u8 = 0x80;

const LEAST_SLOTS: usize = 16;

/// Handles by the hash of a key that the caller can look up.
///
/// A map would hold every key a second time, and with it the bytes that a million channels must not
/// cost. A look-up that finds nothing reads a byte or two: the tags lie apart.
///
/// # Shape
///
/// Open addressing, at most three quarters full; as many slots as a power of two. The same key may
/// stand for several handles.
#[derive(Debug, Clone)]
pub(crate) struct HandleTable<T> {
    tags: Vec<u8>,
    handles: Vec<T>,
    /// Slots that are not [`EMPTY`].
    used: usize,
    len: usize,
}

impl<T> Default for HandleTable<T> {
    fn default() -> Self {
        Self { tags: Vec::new(), handles: Vec::new(), used: 0, len: 0 }
    }
}

impl<T: Copy + Default> HandleTable<T> {
    /// Returns how many handles there are.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Returns how many bytes its slots take.
    pub(crate) fn heap_bytes(&self) -> usize {
        self.tags.capacity() + self.handles.capacity() * size_of::<T>()
    }

    /// Returns the handles that may be meant: all of this hash, and now and then one of another.
    pub(crate) fn candidates(&self, hash: u64) -> impl Iterator<Item = T> + '_ {
        self.slots(hash).filter_map(|slot| self.handles.get(slot).copied())
    }

    /// Adds a handle; `hash_of` says the hash of any handle that is already there.
    pub(crate) fn insert(&mut self, hash: u64, handle: T, hash_of: impl Fn(T) -> u64) {
        if self.tags.len() * 3 < (self.used + 1) * 4 {
            self.rebuild(hash_of);
        }
        self.place(hash, handle);
    }

    /// Takes the handle out that `is_it` recognises; nothing happens if there is none.
    pub(crate) fn remove(&mut self, hash: u64, is_it: impl Fn(T) -> bool) {
        let found =
            self.slots(hash).find(|slot| self.handles.get(*slot).is_some_and(|it| is_it(*it)));
        if let Some(tag) = found.and_then(|slot| self.tags.get_mut(slot)) {
            *tag = GONE;
            self.len -= 1;
        }
    }

    /// Puts a handle into the first free slot of its run.
    fn place(&mut self, hash: u64, handle: T) {
        let Some(mut slot) = self.first_slot(hash) else { return };
        while self.tags.get(slot).is_some_and(|tag| *tag != EMPTY) {
            slot = self.next_slot(slot);
        }
        if let (Some(tag), Some(place)) = (self.tags.get_mut(slot), self.handles.get_mut(slot)) {
            *tag = tag_of(hash);
            *place = handle;
            self.used += 1;
            self.len += 1;
        }
    }

    /// Lays the table out anew, with at least a third of its slots free.
    fn rebuild(&mut self, hash_of: impl Fn(T) -> u64) {
        let slots = ((self.len + 1) * 3 / 2).next_power_of_two().max(LEAST_SLOTS);
        let old = core::mem::replace(
            self,
            Self { tags: vec![EMPTY; slots], handles: vec![T::default(); slots], used: 0, len: 0 },
        );
        for (tag, handle) in old.tags.iter().zip(old.handles) {
            if tag & FULL != 0 {
                self.place(hash_of(handle), handle);
            }
        }
    }

    /// The full slots with the tag of this hash, up to the end of its run.
    fn slots(&self, hash: u64) -> impl Iterator<Item = usize> + '_ {
        let tag = tag_of(hash);
        let run = core::iter::successors(self.first_slot(hash), |slot| Some(self.next_slot(*slot)));
        run.map_while(|slot| match self.tags.get(slot) {
            None | Some(&EMPTY) => None,
            Some(found) => Some((slot, *found)),
        })
        .filter(move |(_, found)| *found == tag)
        .map(|(slot, _)| slot)
    }

    fn first_slot(&self, hash: u64) -> Option<usize> {
        let mask = self.tags.len().checked_sub(1)?;
        // The low bits: the tag is made of the high ones.
        Some(usize::try_from(hash & u64::from(u32::MAX)).unwrap_or_default() & mask)
    }

    fn next_slot(&self, slot: usize) -> usize {
        (slot + 1) & (self.tags.len() - 1)
    }
}

fn tag_of(hash: u64) -> u8 {
    FULL | hash.to_be_bytes()[0]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A hash with few low bits, so that runs are long and go round the end.
    fn hash(handle: u32) -> u64 {
        u64::from(handle % 7) | u64::from(handle % 3) << 56 | 0xFFFF_FFF8
    }

    fn has(table: &HandleTable<u32>, handle: u32) -> bool {
        table.candidates(hash(handle)).any(|it| it == handle)
    }

    #[test]
    fn what_was_put_in_is_found_until_it_is_taken_out() {
        let mut table = HandleTable::default();
        assert!(!has(&table, 1));
        for round in 0..4_u32 {
            for handle in 0..200 {
                table.insert(hash(handle), handle, hash);
            }
            assert_eq!(table.len(), 200);
            for handle in (0..200).filter(|handle| (handle + round) % 3 != 0) {
                table.remove(hash(handle), |it| it == handle);
                table.remove(hash(handle), |it| it == handle);
            }
            for handle in 0..200 {
                assert_eq!(has(&table, handle), (handle + round) % 3 == 0, "{handle}");
                table.remove(hash(handle), |it| it == handle);
            }
            assert_eq!(table.len(), 0);
        }
        assert!(table.tags.len() <= 512, "what is gone makes room: {}", table.tags.len());
    }

    #[test]
    fn a_key_may_stand_for_several() {
        let mut table = HandleTable::default();
        for handle in [1, 8, 15] {
            table.insert(5, handle, |_| 5);
        }
        let mut found: Vec<u32> = table.candidates(5).collect();
        found.sort_unstable();
        assert_eq!(found, [1, 8, 15]);
    }
}

//! The memory that digests are computed in.
//!
//! The system gives fresh memory a page at a time, which costs more than half of what a digest does. So each thread keeps
//! the memory of one digest, wiped.

use std::cell::Cell;

use argon2::Block;
use zeroize::Zeroize;

use crate::error::{Error, ErrorKind, Result};

thread_local! {
    static KEPT: Cell<Vec<Block>> = const { Cell::new(Vec::new()) };
}

/// Zeros to compute a digest in. Wiped when the digest is computed, also if that panics.
pub(super) struct Memory {
    blocks: Vec<Block>,
    /// How many the digest takes.
    taken: usize,
    /// The most that the thread keeps.
    most_kept: usize,
}

impl Memory {
    /// Takes so many blocks of a KiB. The thread keeps them afterwards unless they are more than `most_kept`.
    ///
    /// # Errors
    /// `Internal` when memory is short.
    pub(super) fn take(taken: usize, most_kept: usize) -> Result<Self> {
        let mut blocks = KEPT.take();
        if blocks.len() < taken {
            // First goes what is too small: a thread never has more than one digest's.
            blocks = Vec::new();
            blocks.try_reserve_exact(taken).map_err(|short| {
                Error::new(ErrorKind::Internal, "there is no memory for an argon2 digest").with_source(short)
            })?;
            blocks.resize(taken, Block::new());
        }
        Ok(Self { blocks, taken, most_kept })
    }
}

impl AsMut<[Block]> for Memory {
    fn as_mut(&mut self) -> &mut [Block] {
        &mut self.blocks[..self.taken]
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        self.as_mut().iter_mut().for_each(|block| block.as_mut().zeroize());
        if self.blocks.len() <= self.most_kept {
            KEPT.set(std::mem::take(&mut self.blocks));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept() -> Vec<Block> {
        KEPT.take()
    }

    fn is_wiped(blocks: &[Block]) -> bool {
        blocks.iter().all(|block| block.as_ref().iter().all(|word| *word == 0))
    }

    fn write(memory: &mut Memory) {
        memory.as_mut().iter_mut().for_each(|block| block.as_mut().fill(7));
    }

    #[test]
    fn a_thread_keeps_the_memory_of_one_digest_and_it_is_wiped() {
        let mut memory = Memory::take(8, 8).unwrap();
        assert_eq!(memory.as_mut().len(), 8);
        write(&mut memory);
        let place = memory.blocks.as_ptr();
        drop(memory);
        let memory = Memory::take(8, 8).unwrap();
        assert_eq!(memory.blocks.as_ptr(), place, "the same again");
        drop(memory);
        let blocks = kept();
        assert!(blocks.len() == 8 && is_wiped(&blocks));
    }

    #[test]
    fn a_smaller_digest_takes_a_part_and_a_larger_one_is_not_kept() {
        drop(Memory::take(8, 8).unwrap());
        let mut part = Memory::take(4, 8).unwrap();
        write(&mut part);
        assert_eq!((part.as_mut().len(), part.blocks.len()), (4, 8));
        drop(part);
        let larger = Memory::take(9, 8).unwrap();
        assert!(kept().is_empty(), "not beside the larger one");
        drop(larger);
        assert!(kept().is_empty());
    }

    #[test]
    fn a_panic_leaves_wiped_memory() {
        let panicked = std::panic::catch_unwind(|| {
            let mut memory = Memory::take(8, 8).unwrap();
            write(&mut memory);
            panic!("in the middle of a digest");
        });
        assert!(panicked.is_err());
        let blocks = kept();
        assert!(blocks.len() == 8 && is_wiped(&blocks));
    }
}

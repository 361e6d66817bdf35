//! Bytes that wait for the bulk-OUT endpoint, in a ring of given memory.

/// The ring.
pub struct Ring {
    bytes: &'static mut [u8],
    first: usize,
    length: usize,
}

impl Ring {
    /// An empty ring.
    pub fn new(bytes: &'static mut [u8]) -> Self {
        Self { bytes, first: 0, length: 0 }
    }

    /// Most bytes that it holds.
    pub fn capacity(&self) -> usize {
        self.bytes.len()
    }

    /// Bytes in it.
    pub fn len(&self) -> usize {
        self.length
    }

    /// Whether no more fits.
    pub fn is_full(&self) -> bool {
        self.length >= self.bytes.len()
    }

    /// Throws everything away.
    pub fn clear(&mut self) {
        self.length = 0;
    }

    fn place(&self, offset: usize) -> usize {
        let place = self.first.wrapping_add(offset);
        if place >= self.bytes.len() { place.wrapping_sub(self.bytes.len()) } else { place }
    }

    /// Puts a byte behind the others; in a full ring it is lost.
    pub fn push(&mut self, byte: u8) {
        if !self.is_full() {
            let place = self.place(self.length);
            if let Some(to) = self.bytes.get_mut(place) {
                *to = byte;
                self.length = self.length.saturating_add(1);
            }
        }
    }

    /// Takes the first bytes out, as many as there are and `room` holds.
    pub fn take(&mut self, room: &mut [u8]) {
        for to in room.iter_mut().take(self.length) {
            *to = self.bytes.get(self.first).copied().unwrap_or(0);
            self.skip(1);
        }
    }

    /// Throws away the first bytes, at most so many; how many there were.
    pub fn skip(&mut self, count: usize) -> usize {
        let count = count.min(self.length);
        self.first = self.place(count);
        self.length = self.length.saturating_sub(count);
        count
    }
}

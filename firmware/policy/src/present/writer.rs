//! A caller's buffer that takes what fits and counts the rest.

/// Bytes on their way into a buffer of any length.
pub(super) struct Writer<'a> {
    out: &'a mut [u8],
    length: usize,
}

impl<'a> Writer<'a> {
    pub(super) fn new(out: &'a mut [u8]) -> Self {
        Self { out, length: 0 }
    }

    pub(super) fn byte(&mut self, byte: u8) {
        if let Some(own) = self.out.get_mut(self.length) {
            *own = byte;
        }
        self.length = self.length.saturating_add(1);
    }

    pub(super) fn bytes(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.byte(*byte);
        }
    }

    pub(super) fn zeros(&mut self, count: usize) {
        for _ in 0..count {
            self.byte(0);
        }
    }

    /// Overwrites bytes already put, where they fitted.
    pub(super) fn patch(&mut self, start: usize, bytes: &[u8]) {
        for (own, byte) in self.out.iter_mut().skip(start).zip(bytes) {
            *own = *byte;
        }
    }

    /// Bytes put, those that did not fit included.
    pub(super) fn length(&self) -> usize {
        self.length
    }

    /// Bytes in the buffer.
    pub(super) fn kept(&self) -> usize {
        self.length.min(self.out.len())
    }
}

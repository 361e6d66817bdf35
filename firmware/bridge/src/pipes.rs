//! The two bulk endpoints towards the host, as the bridge sees them. A board implements this over its USB device
//! controller, the simulator over memory.

/// Bulk endpoints of interface 0. Every call returns at once.
pub trait Pipes {
    /// Bytes in a full packet: 64 at full speed, 512 at high speed.
    fn max_packet(&self) -> usize;

    /// Takes the next packet from the bulk-OUT endpoint into `packet`, which holds a full one; its length, or `None` if none has come.
    fn read(&mut self, packet: &mut [u8]) -> Option<usize>;

    /// Queues the front of `data` on the bulk-IN endpoint: as many full packets as there is room for, and a short packet only if it is
    /// all that is left. An empty `data` queues a packet of length zero. Returns the bytes taken, or `None` if the endpoint is busy.
    fn write(&mut self, data: &[u8]) -> Option<usize>;

    /// Whether everything queued has left for the host.
    fn is_flushed(&mut self) -> bool;

    /// Halts the bulk-IN endpoint once what was queued has left; the host clears it.
    fn stall_in(&mut self);

    /// Halts the bulk-OUT endpoint; the host clears it.
    fn stall_out(&mut self);

    /// Whether the bulk-IN endpoint is halted.
    fn is_in_stalled(&self) -> bool;

    /// Whether the bulk-OUT endpoint is halted.
    fn is_out_stalled(&self) -> bool;
}

//! REPORT LUNS and REPORT SUPPORTED TASK MANAGEMENT FUNCTIONS (sections 2, 3.7; SPC-4 6.33, 6.36).

use super::writer::Writer;

/// One logical unit, number 0, whatever stands behind the bridge. It is no conglomerate and there are no well-known units, so the
/// selections that ask for those alone (01h, 10h, 12h) are empty.
pub(super) fn put_luns(select: u8, out: &mut Writer<'_>) {
    let units: u8 = match select {
        0x00 | 0x02 | 0x11 => 1,
        _ => 0,
    };
    out.bytes(&[0, 0, 0, units.saturating_mul(8), 0, 0, 0, 0]);
    out.zeros(usize::from(units).saturating_mul(8));
}

/// The bulk-only transport carries no task management function: no bit is set. The long form adds its timeouts, all "not given".
pub(super) fn put_task_management(extended: bool, out: &mut Writer<'_>) {
    let additional: u8 = if extended { 12 } else { 0 };
    out.bytes(&[0, 0, 0, additional]);
    out.zeros(usize::from(additional));
}

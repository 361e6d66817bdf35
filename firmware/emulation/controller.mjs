// The device side of the chip's USB controller, and a host on the other end of the cable.
//
// The emulator's own model takes an armed IN buffer at once, drops AVAILABLE of an armed OUT buffer, and knows no data toggles. Here a
// buffer waits until the host asks, as in silicon: NAK, STALL, and a packet with the wrong toggle are what they are on a wire.
// Facts: RP2040 datasheet, 4.1.2 (buffer control, endpoint control, EP_STALL_ARM, frames) and erratum RP2040-E15; USB 2.0, 8.6 (data toggles).
const AVAILABLE = 1 << 10;
const STALL = 1 << 11;
const DATA1 = 1 << 13;
const FULL = 1 << 15;
const LENGTH = 0x3ff;
const ENABLED = 1 << 31;
const BUS_RESET = 1 << 19;
const CONNECTED = 1 << 16;
const LINE_STATE = 3 << 2;
const LINE_J = 1 << 2;
const PULL_UP = 1 << 16;
const CONTROLLER_ON = 1;
const RESET_OF_USB = 1 << 24;
const SOF_RD = 0x48;
const INTR = 0x8c;
const DEV_SOF = 1 << 17;
/** Buffer controls of the IN endpoints besides 0. */
const BUFFERS = [0x88, 0xf8];

/** A frame of a host whose clock is 500 ppm slow. */
const FRAME_US = 1_000.5;
/** Part of a frame in which no bulk-IN packet may be handed over (RP2040-E15). */
const LATE_US = [800, 998];
/** Time for which a request that is given up has been on the bus. */
const GIVEN_UP_US = 2_000;

/** Duration of a bus reset, and of the recovery after it (USB 2.0, 7.1.7.5). */
const RESET_US = 10_000;
const RECOVERY_US = 10_000;
/** Time in which a device must carry out a request without data, and one with (USB 2.0, 9.2.6). */
const CONTROL_US = 500_000;
/** Time on the wire of a packet of n bytes with its token and handshake, at 12 Mbit/s. */
const wire = (bytes) => Math.ceil(((bytes + 13) * 8 * 7) / 6 / 12);

export class UsbHost {
  constructor(board) {
    this.board = board;
    this.timed = false;
    this.packets = 0;
    this.attach();
  }

  /** Takes over the controller of a board that has just been powered up. */
  attach() {
    const { mcu } = this.board;
    this.usb = mcu.usbCtrl;
    this.ram = mcu.usbDPRAMView;
    this.usb.DPRAMUpdated = (offset, value) => this.bufferWritten(offset, value);
    this.framesFrom = null;
    this.frameTold = 0;
    this.armed = new Set();
    this.latePackets = 0;
    this.isDeaf = false;
    this.watchRegisters();
    this.usb.onResetReceived = () => (this.resets += 1);
    this.resets = 0;
    this.sequenceErrors = 0;
    this.address = 0;
    this.forgetToggles();
  }

  /** Frames, and what the loss of the pull-up does to the lines, as the device's registers show them. */
  watchRegisters() {
    const { usb } = this;
    const read = usb.readUint32.bind(usb);
    usb.readUint32 = (offset) => {
      if (offset === SOF_RD) this.frameTold = this.frame;
      const value = offset === SOF_RD ? this.frame & 0x7ff : read(offset);
      return offset === INTR && this.frame !== this.frameTold ? value | DEV_SOF : value;
    };
    const control = usb.handleSieCtrlWrite.bind(usb);
    usb.handleSieCtrlWrite = (value) => {
      const was = usb.sieCtrl & PULL_UP;
      control(value);
      if (was && !(value & PULL_UP)) this.drop();
      if (!was && value & PULL_UP) usb.sieStatus = (usb.sieStatus & ~LINE_STATE) | LINE_J;
    };
  }

  /** Without the pull-up both lines are low, which the controller takes for a reset of the bus. */
  drop() {
    this.framesFrom = null;
    this.usb.sieStatus = (this.usb.sieStatus & ~(LINE_STATE | CONNECTED)) | BUS_RESET;
    this.usb.sieStatusUpdated();
  }

  /** Number of the frame; it stands still while there are none. */
  get frame() {
    return this.framesFrom === null ? this.frameTold : 1 + Math.floor((this.board.us - this.framesFrom) / FRAME_US);
  }

  /** Counts bulk-IN packets that are handed over too late in a frame. */
  bufferWritten(offset, value) {
    if (offset < BUFFERS[0] || offset > BUFFERS[1] || offset & 4) return;
    const isArmed = !!(value & AVAILABLE);
    if (isArmed && !this.armed.has(offset) && this.framesFrom !== null) {
      const at = (this.board.us - this.framesFrom) % FRAME_US;
      if (at >= LATE_US[0] && at < LATE_US[1]) this.latePackets += 1;
    }
    if (isArmed) this.armed.add(offset);
    else this.armed.delete(offset);
  }

  forgetToggles() {
    this.toggleIn = new Uint8Array(16);
    this.toggleOut = new Uint8Array(16);
  }

  /** The device's pull-up is on the bus. */
  get attached() {
    const isReset = this.board.mcu.peripherals[0x4000c].reset & RESET_OF_USB;
    return !!(this.usb.mainCtrl & CONTROLLER_ON && this.usb.sieCtrl & PULL_UP && !isReset);
  }

  control(endpoint, isIn) {
    return 0x80 + endpoint * 8 + (isIn ? 0 : 4);
  }

  isStalled(endpoint, isIn) {
    const stalled = this.ram.getUint32(this.control(endpoint, isIn), true) & STALL;
    return !!stalled && (endpoint > 0 || !!(this.usb.epStallArm & (isIn ? 1 : 2)));
  }

  isAvailable(endpoint, isIn) {
    const control = this.ram.getUint32(this.control(endpoint, isIn), true);
    const isEnabled = endpoint === 0 || this.ram.getUint32(endpoint * 8 + (isIn ? 0 : 4), true) & ENABLED;
    return !!(isEnabled && control & AVAILABLE && (!isIn || control & FULL));
  }

  buffer(endpoint, isIn) {
    return endpoint === 0 ? 0x100 : this.ram.getUint32(endpoint * 8 + (isIn ? 0 : 4), true) & 0xffc0;
  }

  elapse(bytes) {
    this.packets += 1;
    if (this.timed) this.board.run(wire(bytes));
  }

  /** Waits until the endpoint has something to say: 'ack', 'stall', 'nak', or 'gone'. */
  wait(endpoint, isIn, us) {
    const before = this.board.powerUps;
    const isReady = () => this.isStalled(endpoint, isIn) || this.isAvailable(endpoint, isIn);
    if (!isReady() && !this.board.run(us, isReady)) return this.attached ? 'nak' : 'gone';
    if (this.board.powerUps !== before) return 'gone';
    return this.isStalled(endpoint, isIn) ? 'stall' : 'ack';
  }

  /** One IN transaction that succeeds, or the handshake. */
  packetIn(endpoint, us) {
    for (;;) {
      const handshake = this.wait(endpoint, true, us);
      if (handshake !== 'ack') return handshake;
      const at = this.control(endpoint, true);
      const control = this.ram.getUint32(at, true);
      const length = control & LENGTH;
      const start = this.buffer(endpoint, true);
      const data = this.board.mcu.usbDPRAM.slice(start, start + length);
      this.elapse(length);
      this.ram.setUint32(at, this.ram.getUint32(at, true) & ~(AVAILABLE | FULL), true);
      this.armed.delete(at);
      if (!this.isDeaf) this.usb.indicateBufferReady(endpoint, false);
      const toggle = control & DATA1 ? 1 : 0;
      if (toggle === this.toggleIn[endpoint]) {
        this.toggleIn[endpoint] ^= 1;
        return data;
      }
      // A host takes this for a packet that it had already, and throws it away.
      this.sequenceErrors += 1;
    }
  }

  /** One OUT transaction: the handshake. */
  packetOut(endpoint, data, us) {
    const handshake = this.wait(endpoint, false, us);
    if (handshake !== 'ack') return handshake;
    this.elapse(data.length);
    const at = this.control(endpoint, false);
    const control = this.ram.getUint32(at, true);
    const expected = control & DATA1 ? 1 : 0;
    if (expected === this.toggleOut[endpoint]) {
      this.board.mcu.usbDPRAM.set(data, this.buffer(endpoint, false));
      this.ram.setUint32(at, (control & ~(AVAILABLE | LENGTH)) | FULL | data.length, true);
      this.usb.indicateBufferReady(endpoint, true);
    } else {
      this.sequenceErrors += 1;
    }
    this.toggleOut[endpoint] ^= 1;
    return 'ack';
  }

  /** Resets the bus: whether the device answers to address 0 afterwards. */
  reset() {
    if (!this.attached && !this.board.run(1_000_000, () => this.attached)) return false;
    const { usb } = this;
    const before = this.resets;
    this.framesFrom = null;
    usb.sieStatus = (usb.sieStatus & ~LINE_STATE) | BUS_RESET;
    usb.sieStatusUpdated();
    this.board.run(RESET_US);
    usb.sieStatus = (usb.sieStatus & ~LINE_STATE) | LINE_J;
    this.frameTold = 0;
    this.framesFrom = this.board.us;
    const seen = this.board.run(RECOVERY_US, () => this.resets > before);
    this.board.run(RECOVERY_US / 10);
    this.forgetToggles();
    this.address = 0;
    return seen;
  }

  /** A control transfer: the data of an IN request, empty for an OUT request, or the handshake that ended it. One that is given up ends with its
   *  first packet. */
  request(setup, data, isGivenUp = false) {
    const [kind, code, value, , index] = setup;
    const length = setup[6] | (setup[7] << 8);
    if (!this.attached) return 'gone';
    if ((this.usb.addrEndp & 0x7f) !== this.address) return 'nak';
    this.usb.epStallArm &= ~3;
    this.usb.sendSetupPacket(Uint8Array.from(setup));
    this.elapse(8);
    this.toggleIn[0] = 1;
    this.toggleOut[0] = 1;
    if (isGivenUp) {
      this.board.run(GIVEN_UP_US);
      return 'given up';
    }
    const answer = kind & 0x80 && length > 0 ? this.requestIn(length) : this.requestOut(data ?? new Uint8Array(0));
    if (typeof answer === 'string') return answer;
    if (kind === 0x00 && code === 5) {
      this.address = value;
      this.board.run(2_000, () => (this.usb.addrEndp & 0x7f) === value);
    }
    if (kind === 0x00 && code === 9) this.forgetToggles();
    if (kind === 0x02 && code === 1) (index & 0x80 ? this.toggleIn : this.toggleOut)[index & 15] = 0;
    return answer;
  }

  requestIn(length) {
    const bytes = [];
    for (;;) {
      const packet = this.packetIn(0, CONTROL_US);
      if (typeof packet === 'string') return packet;
      bytes.push(...packet);
      if (packet.length < 64 || bytes.length >= length) break;
    }
    this.toggleOut[0] = 1;
    const status = this.packetOut(0, new Uint8Array(0), CONTROL_US);
    return status === 'ack' ? Uint8Array.from(bytes.slice(0, length)) : status;
  }

  requestOut(data) {
    for (let at = 0; at < data.length; at += 64) {
      const status = this.packetOut(0, data.subarray(at, at + 64), CONTROL_US);
      if (status !== 'ack') return status;
    }
    this.toggleIn[0] = 1;
    const status = this.packetIn(0, CONTROL_US);
    // What is left of an answer that nobody fetched is no status.
    if (status.length > 0 && typeof status !== 'string') return 'babble';
    return typeof status === 'string' ? status : new Uint8Array(0);
  }

  /** Bulk transfer to the device: bytes taken, and the handshake where it ended early. */
  bulkOut(endpoint, data, us) {
    let taken = 0;
    do {
      const packet = data.subarray(taken, taken + 64);
      const end = this.packetOut(endpoint, packet, us);
      if (end !== 'ack') return { taken, end };
      taken += packet.length;
    } while (taken < data.length);
    return { taken, end: 'ack' };
  }

  /** Bulk transfer from the device: whole packets, until a short one, `max` bytes, or the handshake that comes instead. */
  bulkIn(endpoint, max, us) {
    const packets = [];
    let bytes = 0;
    for (;;) {
      const packet = this.packetIn(endpoint, us);
      if (typeof packet === 'string') return { packets, end: packet };
      packets.push(packet);
      bytes += packet.length;
      if (packet.length < 64 || bytes >= max) return { packets, end: 'ack' };
    }
  }
}

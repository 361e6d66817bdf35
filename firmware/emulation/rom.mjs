// The boot ROM's flash functions, and the flash chip behind the flash interface.
//
// Each function of the ROM is two instructions: one that is trapped here, and the return. While the flash is not mapped, fetching or
// reading from it gives bytes that no program means, so code that should lie in RAM and does not goes wrong at once.
// Facts: RP2040 datasheet, 2.8.3 (function table) and 4.10 (flash interface); W25Q16JV datasheet (commands 05h, 35h, 4Bh).
import { createHash } from 'node:crypto';

const STUBS = 0x200;
const TABLE = 0x100;
const BREAK = 0xbe00;
const RETURN = 0x4770;
const PAGE = 256;
const SECTOR = 4096;
const FUNCTIONS = ['lookup', 'IF', 'EX', 'RE', 'RP', 'FC', 'CX'];

/** A block of registers without a function of their own. */
export class Registers {
  constructor(values = {}) {
    this.values = new Map(Object.entries(values).map(([at, value]) => [Number(at), value]));
  }

  readUint32(offset) {
    return this.values.get(offset) ?? 0;
  }

  writeUint32(offset, value) {
    this.values.set(offset, value >>> 0);
  }

  writeUint32Atomic(offset, value, type) {
    // A plain write must not read: reading some registers has an effect.
    if (type === 0) return this.writeUint32(offset, value);
    const now = this.readUint32(offset);
    return this.writeUint32(offset, [value, now ^ value, now | value, now & ~value][type]);
  }
}

/** Flash interface with a W25Q16JV. */
class FlashInterface extends Registers {
  constructor(rom) {
    super({ 0x58: 0x51535049 });
    this.rom = rom;
    this.received = [];
    this.sent = 0;
    this.command = 0;
  }

  readUint32(offset) {
    if (offset === 0x28) return 6 | (this.received.length ? 8 : 0);
    if (offset === 0x60) return this.received.shift() ?? 0;
    return super.readUint32(offset);
  }

  writeUint32(offset, value) {
    super.writeUint32(offset, value);
    if (offset === 0x08) {
      this.received.length = 0;
      // Continuous reads: the mode that a boot block leaves behind.
      if (value & 1 && this.readUint32(0xf4) >>> 24 === 0xa0) this.rom.map();
    }
    if (offset === 0x60) this.exchange(value & 0xff);
  }

  exchange(byte) {
    const byHand = (this.rom.selectPin.readUint32(0x0c) >> 8) & 3;
    // Otherwise a command lasts until its answers have been fetched.
    const begins = byHand === 2 ? this.rom.selected === false : this.received.length === 0;
    if (begins) {
      this.command = byte;
      this.sent = 0;
    }
    this.rom.selected = byHand === 2;
    const at = this.sent++;
    const answers = { 0x35: () => 0x02, 0x4b: () => (at >= 5 ? this.rom.uniqueId[(at - 5) % 8] : 0) };
    this.received.push((answers[this.command] ?? (() => 0))());
  }
}

export class BootRom {
  constructor(uniqueId = Buffer.from('e66164084367a52b', 'hex')) {
    this.uniqueId = uniqueId;
    this.writes = [];
    this.mistakes = [];
    this.lookups = new Set();
  }

  /** Puts the ROM into a chip that is to be powered up. */
  attach(mcu) {
    this.mcu = mcu;
    this.mapped = { flash: mcu.flash, view: mcu.flashView };
    this.selected = false;
    this.selectPin = new Registers();
    mcu.peripherals[0x18000] = new FlashInterface(this);
    mcu.peripherals[0x40018] = this.selectPin;
    const rom = new DataView(mcu.bootrom.buffer);
    rom.setUint32(0x10, 0x03_01_75_4d, true);
    rom.setUint16(0x14, TABLE, true);
    rom.setUint16(0x16, TABLE, true);
    rom.setUint16(0x18, STUBS | 1, true);
    FUNCTIONS.forEach((_, number) => {
      rom.setUint16(STUBS + number * 4, BREAK | number, true);
      rom.setUint16(STUBS + number * 4 + 2, RETURN, true);
    });
    mcu.onBreak = (number) => this.call(number);
  }

  call(number) {
    const r = this.mcu.core.registers;
    const name = FUNCTIONS[number];
    if (name === undefined || this.mcu.core.PC > 0x1000) throw Error(`break ${number} at ${this.mcu.core.PC.toString(16)}`);
    if (name === 'lookup') {
      const code = String.fromCharCode(r[1] & 0xff, r[1] >> 8);
      this.lookups.add(code);
      const found = FUNCTIONS.indexOf(code);
      r[0] = found > 0 ? (STUBS + found * 4) | 1 : 0;
    } else if (name === 'EX') this.unmap();
    else if (name === 'RE') this.erase(r[0], r[1]);
    else if (name === 'RP') this.program(r[0], r[1], r[2]);
    else if (name === 'FC') this.selectPin.writeUint32(0x0c, this.selectPin.readUint32(0x0c) & ~0x300);
    else if (name === 'CX') this.map();
    // Registers that a function need not keep.
    if (name !== 'lookup') r.set([0xdeadbeef, 0xdeadbeef, 0xdeadbeef, 0xdeadbeef], 0);
  }

  unmap() {
    const nothing = new Uint8Array(this.mapped.flash.length).fill(0xde);
    this.mcu.flash = nothing;
    this.mcu.flashView = new DataView(nothing.buffer);
  }

  map() {
    this.mcu.flash = this.mapped.flash;
    this.mcu.flashView = this.mapped.view;
  }

  check(what, offset, length, unit) {
    const isMapped = this.mcu.flash === this.mapped.flash;
    if (isMapped || offset % unit || length % unit || !this.mcu.core.PM) {
      this.mistakes.push(`${what} ${offset.toString(16)} ${length}`);
    }
    this.writes.push({ what, offset });
  }

  erase(offset, length) {
    this.check('erase', offset, length, SECTOR);
    this.mapped.flash.fill(0xff, offset, offset + length);
  }

  program(offset, address, length) {
    this.check('program', offset, length, PAGE);
    for (let i = 0; i < length; i++) this.mapped.flash[offset + i] &= this.mcu.readUint8(address + i);
  }

  digest() {
    return createHash('sha256').update(this.mapped.flash.subarray(0, 2 << 20)).digest('hex');
  }
}
